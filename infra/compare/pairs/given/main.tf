# As deployment.yaml: everything in use, with a key that is there already, so that a plan knows the policies.

terraform {
  required_providers {
    aws = { source = "hashicorp/aws" }
  }
}

provider "aws" {
  region = "eu-west-1"
}

module "msk_kraft" {
  source = "../../../terraform"

  name = "orders"

  source_cluster = {
    cluster_arns       = ["arn:aws:kafka:eu-west-1:123456789012:cluster/orders/0a1b2c3d-0000-4000-8000-000000000001-3"]
    auth               = "scram-sha-512"
    secret_arns        = ["arn:aws:secretsmanager:eu-west-1:123456789012:secret:AmazonMSK_orders-AbCdEf"]
    secret_key_arns    = ["arn:aws:kms:eu-west-1:123456789012:key/0a1b2c3d-0000-4000-8000-000000000002"]
    security_group_ids = ["sg-0aaaaaaaaaaaaaaa1"]
  }
  target_cluster = {
    cluster_arns                 = ["arn:aws:kafka:eu-west-1:210987654321:cluster/orders-kraft/0a1b2c3d-0000-4000-8000-000000000003-3"]
    auth                         = "iam"
    bootstrap_servers_configured = true
    cidrs                        = ["10.1.0.0/16"]
    ports                        = [9098]
  }

  vpc_id               = "vpc-0aaaaaaaaaaaaaaaa"
  vpc_subnet_ids       = ["subnet-0aaaaaaaaaaaaaaa1", "subnet-0aaaaaaaaaaaaaaa2"]
  vpc_route_table_ids  = ["rtb-0aaaaaaaaaaaaaaa1"]
  create_vpc_endpoints = true

  backup_prefix      = "zk-to-kraft/"
  backup_expire_days = 60
  evidence_prefix    = "migrations/"
  evidence_retention = { mode = "compliance", days = 2557 }
  signing_key_arn    = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:evidence-key-AbCdEf"
  access_log_bucket  = "orders-access-logs"
  create_kms_key     = false
  kms_key_arn        = "arn:aws:kms:eu-west-1:123456789012:key/0a1b2c3d-0000-4000-8000-000000000004"
  write_fence        = true

  webhooks = {
    enabled         = true
    secret_arn      = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:webhook-key-AbCdEf"
    acknowledge_url = true
  }

  cloudwatch_logs_retention_in_days = 400
  notification_emails               = ["someone@example.com"]
  role_permissions_boundary         = "arn:aws:iam::123456789012:policy/boundary"
  operator_principal_arns           = ["arn:aws:iam::123456789012:role/operators"]
  auditor_principal_arns            = ["arn:aws:iam::123456789012:role/audit"]
  environment                       = { RUST_LOG = "debug" }
}
