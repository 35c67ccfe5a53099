# Everything that most deployments decide: SCRAM to mTLS, webhooks, endpoints, retention, roles for people.

locals {
  account = "123456789012"
}

module "msk_kraft" {
  source = "../.."

  name         = "payments"
  architecture = "arm64"

  source_cluster = {
    cluster_arns       = ["arn:aws:kafka:eu-west-1:${local.account}:cluster/payments/0a1b2c3d-0000-4000-8000-000000000003-3"]
    auth               = "scram-sha-512"
    secret_arns        = ["arn:aws:secretsmanager:eu-west-1:${local.account}:secret:AmazonMSK_payments-AbCdEf"]
    secret_key_arns    = ["arn:aws:kms:eu-west-1:${local.account}:key/0a1b2c3d-0000-4000-8000-000000000004"]
    security_group_ids = ["sg-0aaaaaaaaaaaaaaa1"]
  }
  target_cluster = {
    cluster_arns                 = ["arn:aws:kafka:eu-west-1:${local.account}:cluster/payments-kraft/0a1b2c3d-0000-4000-8000-000000000005-3"]
    auth                         = "mtls"
    bootstrap_servers_configured = true
    cidrs                        = ["10.1.0.0/16"]
  }
  write_fence = true
  webhooks = {
    enabled         = true
    secret_arn      = "arn:aws:secretsmanager:eu-west-1:${local.account}:secret:webhook-key-AbCdEf"
    acknowledge_url = true
  }

  vpc_id               = "vpc-0aaaaaaaaaaaaaaaa"
  vpc_subnet_ids       = ["subnet-0aaaaaaaaaaaaaaa1", "subnet-0aaaaaaaaaaaaaaa2"]
  vpc_route_table_ids  = ["rtb-0aaaaaaaaaaaaaaa1"]
  create_vpc_endpoints = true

  backup_prefix      = "zk-to-kraft/"
  backup_expire_days = 60
  evidence_prefix    = "migrations/"
  evidence_retention = { mode = "compliance", days = 2557 }
  access_log_bucket  = "payments-access-logs"

  role_permissions_boundary = "arn:aws:iam::${local.account}:policy/boundary"
  operator_principal_arns   = ["arn:aws:iam::${local.account}:role/kafka-operators"]
  auditor_principal_arns    = ["arn:aws:iam::${local.account}:role/audit"]

  cloudwatch_logs_retention_in_days = 400
  notification_emails               = ["kafka-operators@example.com"]

  tags = {
    team = "kafka"
  }
}

output "acknowledge_url" {
  description = "Where webhooks acknowledge later."
  value       = module.msk_kraft.acknowledge_url
}

output "operator_role_arn" {
  description = "The role to assume before `msk-kraft --deployment payments`."
  value       = module.msk_kraft.operator_role_arn
}
