# As deployment.yaml: a target of another account, what is there already, no key and no VPC.

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
    cluster_arns = ["arn:aws:kafka:eu-west-1:123456789012:cluster/orders/0a1b2c3d-0000-4000-8000-000000000001-3"]
    auth         = "plaintext"
  }
  target_cluster = {
    cluster_arns = ["arn:aws:kafka:eu-west-1:210987654321:cluster/orders-kraft/0a1b2c3d-0000-4000-8000-000000000002-3"]
    auth         = "scram-sha-512"
    secret_arns  = ["arn:aws:secretsmanager:eu-west-1:210987654321:secret:AmazonMSK_orders-AbCdEf"]
    role_arn     = "arn:aws:iam::210987654321:role/migrations"
  }

  create_journal_table   = false
  journal_table          = "journal"
  create_backup_bucket   = false
  backup_bucket          = "orders-working-data"
  create_evidence_bucket = false
  evidence_bucket        = "orders-evidence"
  evidence_object_lock   = false
  create_kms_key         = false
}
