# What is wrong is said before anything is planned.

mock_provider "aws" {
  source          = "./tests/mocks"
  override_during = plan
}

variables {
  source_cluster = {
    cluster_arns = ["arn:aws:kafka:eu-west-1:123456789012:cluster/a/1"]
    auth         = "scram-sha-512"
  }
  target_cluster = {
    cluster_arns = ["arn:aws:kafka:eu-west-1:123456789012:cluster/b/2"]
    auth         = "iam"
  }
}

run "names_and_choices" {
  command = plan

  variables {
    name                              = "Orders_"
    architecture                      = "arm"
    environment                       = { MSK_KRAFT_TABLE = "other" }
    cloudwatch_logs_retention_in_days = 5
    backup_expire_days                = 1
    backup_prefix                     = "/segments"
    evidence_prefix                   = "migrations"
    kms_key_arn                       = "alias/mine"
  }

  expect_failures = [
    var.name, var.architecture, var.environment, var.cloudwatch_logs_retention_in_days, var.backup_expire_days,
    var.backup_prefix, var.evidence_prefix, var.kms_key_arn,
  ]
}

run "source" {
  command = plan

  variables {
    source_cluster = {
      cluster_arns = ["orders"]
      auth         = "sasl"
      secret_arns  = ["secret"]
    }
  }

  expect_failures = [var.source_cluster]
}

run "target" {
  command = plan

  variables {
    target_cluster = {
      cluster_arns    = []
      auth            = "iam"
      secret_key_arns = ["arn:aws:kms:eu-west-1:123456789012:key/k"]
    }
  }

  expect_failures = [var.target_cluster]
}

run "wildcards" {
  command = plan

  variables {
    source_cluster = {
      cluster_arns = ["arn:aws:kafka:eu-west-1:123456789012:cluster/a/*"]
      auth         = "scram-sha-512"
      secret_arns  = ["arn:aws:secretsmanager:eu-west-1:123456789012:secret:*"]
    }
    webhooks = { enabled = true, secret_arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:key-*" }
  }

  expect_failures = [var.source_cluster, var.webhooks]
}

run "source_is_target" {
  command = plan

  variables {
    target_cluster = {
      cluster_arns = ["arn:aws:kafka:eu-west-1:123456789012:cluster/a/1"]
      auth         = "iam"
    }
  }

  expect_failures = [var.target_cluster]
}

run "a_fence_that_would_not_hold" {
  command = plan

  variables {
    write_fence = true
    source_cluster = {
      cluster_arns = ["arn:aws:kafka:eu-west-1:123456789012:cluster/a/1"]
      auth         = "iam"
    }
  }

  expect_failures = [var.write_fence]
}

run "acknowledgements_that_anybody_could_send" {
  command = plan

  variables {
    webhooks = { enabled = true, acknowledge_url = true }
  }

  expect_failures = [var.webhooks]
}

run "a_network_without_a_way" {
  command = plan

  variables {
    vpc_id               = "vpc-1"
    vpc_subnet_ids       = ["subnet-1"]
    create_vpc_endpoints = true
  }

  expect_failures = [var.vpc_subnet_ids, var.create_security_group, var.create_vpc_endpoints]
}

run "what_is_there_has_no_name" {
  command = plan

  variables {
    create_journal_table   = false
    create_backup_bucket   = false
    create_evidence_bucket = false
    create_roles           = false
    evidence_retention     = { mode = "forever", days = 0 }
    kms_key_arn            = "arn:aws:kms:eu-west-1:123456789012:key/mine"
    sns_topic_arn          = "arn:aws:sns:eu-west-1:123456789012:mine"
  }

  expect_failures = [
    var.journal_table, var.backup_bucket, var.evidence_bucket, var.create_roles, var.evidence_retention, var.create_kms_key,
    var.create_sns_topic,
  ]
}
