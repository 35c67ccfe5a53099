# Table, buckets, key: what a migration can not be proven without.

mock_provider "aws" {
  source          = "./tests/mocks"
  override_during = plan
}

variables {
  name = "orders"
  source_cluster = {
    cluster_arns = ["arn:aws:kafka:eu-west-1:123456789012:cluster/a/1"]
    auth         = "plaintext"
  }
  target_cluster = {
    cluster_arns = ["arn:aws:kafka:eu-west-1:123456789012:cluster/b/2"]
    auth         = "iam"
  }
}

run "defaults" {
  command = plan

  assert {
    condition     = aws_dynamodb_table.journal[0].name == "orders-journal" && aws_dynamodb_table.journal[0].hash_key == "pk" && aws_dynamodb_table.journal[0].range_key == "sk"
    error_message = "the journal's keys are pk and sk"
  }

  assert {
    condition     = aws_dynamodb_table.journal[0].billing_mode == "PAY_PER_REQUEST" && aws_dynamodb_table.journal[0].deletion_protection_enabled
    error_message = "the journal is on demand and protected from deletion"
  }

  assert {
    condition     = aws_dynamodb_table.journal[0].point_in_time_recovery[0].enabled
    error_message = "the journal has point in time recovery"
  }

  assert {
    condition     = aws_dynamodb_table.journal[0].server_side_encryption[0].kms_key_arn == "arn:aws:kms:eu-west-1:123456789012:key/created"
    error_message = "the journal is encrypted with the deployment's key"
  }

  assert {
    condition     = aws_kms_key.this[0].enable_key_rotation
    error_message = "the key is rotated"
  }

  assert {
    condition     = aws_s3_bucket.backup[0].bucket == "orders-backup-123456789012-eu-west-1" && aws_s3_bucket.evidence[0].bucket == "orders-evidence-123456789012-eu-west-1"
    error_message = "names of buckets have account and region in them"
  }

  assert {
    condition     = aws_s3_bucket.evidence[0].object_lock_enabled
    error_message = "the evidence's bucket has Object Lock"
  }

  assert {
    condition     = alltrue([for use in ["backup", "evidence"] : aws_s3_bucket_versioning.this[use].versioning_configuration[0].status == "Enabled"])
    error_message = "both buckets are versioned"
  }

  assert {
    condition = alltrue([for use in ["backup", "evidence"] : alltrue([
      aws_s3_bucket_public_access_block.this[use].block_public_acls, aws_s3_bucket_public_access_block.this[use].block_public_policy,
      aws_s3_bucket_public_access_block.this[use].ignore_public_acls, aws_s3_bucket_public_access_block.this[use].restrict_public_buckets,
    ])])
    error_message = "neither bucket is public"
  }

  assert {
    condition = alltrue([for use in ["backup", "evidence"] : alltrue([
      for statement in jsondecode(aws_s3_bucket_policy.this[use].policy).Statement : statement.Effect == "Deny"
      ]) && anytrue([
      for statement in jsondecode(aws_s3_bucket_policy.this[use].policy).Statement : try(statement.Condition.Bool["aws:SecureTransport"], "") == "false"
    ])])
    error_message = "both buckets are reached over TLS only, and their policies allow nothing"
  }

  assert {
    condition     = one(one(aws_s3_bucket_server_side_encryption_configuration.this["backup"].rule).apply_server_side_encryption_by_default).kms_master_key_id == "arn:aws:kms:eu-west-1:123456789012:key/created"
    error_message = "the working data is encrypted with the deployment's key"
  }

  assert {
    condition     = one(one(aws_s3_bucket_server_side_encryption_configuration.this["evidence"].rule).apply_server_side_encryption_by_default).sse_algorithm == "AES256"
    error_message = "the evidence is encrypted by S3's own keys"
  }

  assert {
    condition     = aws_s3_bucket_lifecycle_configuration.backup[0].rule[0].expiration[0].days == 90
    error_message = "working data is removed after 90 days"
  }

  assert {
    condition     = length(aws_s3_bucket_object_lock_configuration.evidence) == 0
    error_message = "nothing is locked that the migration does not lock"
  }
}

run "retention_and_prefixes" {
  command = plan

  variables {
    evidence_retention = { mode = "compliance", days = 2557 }
    evidence_prefix    = "migrations/"
    backup_prefix      = "zk-to-kraft/"
    backup_expire_days = 0
  }

  assert {
    condition     = one(aws_s3_bucket_object_lock_configuration.evidence[0].rule[0].default_retention).mode == "COMPLIANCE" && one(aws_s3_bucket_object_lock_configuration.evidence[0].rule[0].default_retention).days == 2557
    error_message = "evidence is locked for as long as was said"
  }

  assert {
    condition     = length(aws_s3_bucket_lifecycle_configuration.backup[0].rule[0].expiration) == 0
    error_message = "working data is removed"
  }

  assert {
    condition     = strcontains(output.policies["evidence"], "arn:aws:s3:::orders-evidence-123456789012-eu-west-1/migrations/*") && !strcontains(output.policies["evidence"], "eu-west-1/*")
    error_message = "roles reach no further than the prefixes"
  }
}

run "without_object_lock" {
  command = plan

  variables {
    evidence_object_lock = false
  }

  assert {
    condition     = !aws_s3_bucket.evidence[0].object_lock_enabled && !strcontains(output.policies["evidence"], "s3:PutObjectRetention")
    error_message = "evidence is locked, which was not wanted"
  }
}
