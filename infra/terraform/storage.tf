# The journal, the buckets, and the key. What a migration can not be proven without is not destroyed by terraform destroy.

locals {
  create_key = var.create && var.create_kms_key
  # A list, known to be empty or not when a plan is made.
  kms_key_arns = concat(aws_kms_key.this[*].arn, var.kms_key_arn == null ? [] : [var.kms_key_arn])
  kms_key_arn  = one(local.kms_key_arns)
  has_key      = length(local.kms_key_arns) > 0

  buckets = { for use, bucket in {
    backup   = { name = local.backup_bucket, created = var.create_backup_bucket }
    evidence = { name = local.evidence_bucket, created = var.create_evidence_bucket }
  } : use => bucket.name if var.create && bucket.created }
  bucket_ids = merge(
    { for bucket in aws_s3_bucket.backup : "backup" => bucket.id },
    { for bucket in aws_s3_bucket.evidence : "evidence" => bucket.id }
  )
}

resource "aws_dynamodb_table" "journal" {
  count = var.create && var.create_journal_table ? 1 : 0

  name                        = local.table
  billing_mode                = "PAY_PER_REQUEST"
  hash_key                    = "pk"
  range_key                   = "sk"
  deletion_protection_enabled = true

  attribute {
    name = "pk"
    type = "S"
  }

  attribute {
    name = "sk"
    type = "S"
  }

  point_in_time_recovery {
    enabled = true
  }

  server_side_encryption {
    enabled     = local.has_key
    kms_key_arn = local.kms_key_arn
  }

  tags = local.tags

  lifecycle {
    prevent_destroy = true
  }
}

# Working data: needed until migrations are finalized. S3 refuses to delete it while there are objects in it.
resource "aws_s3_bucket" "backup" {
  count = var.create && var.create_backup_bucket ? 1 : 0

  bucket = local.backup_bucket
  tags   = local.tags
}

resource "aws_s3_bucket" "evidence" {
  count = var.create && var.create_evidence_bucket ? 1 : 0

  bucket              = local.evidence_bucket
  object_lock_enabled = var.evidence_object_lock
  tags                = local.tags

  lifecycle {
    prevent_destroy = true
  }
}

resource "aws_s3_bucket_versioning" "this" {
  for_each = local.buckets

  bucket = local.bucket_ids[each.key]

  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_public_access_block" "this" {
  for_each = local.buckets

  bucket                  = local.bucket_ids[each.key]
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "this" {
  for_each = local.buckets

  bucket = local.bucket_ids[each.key]

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "this" {
  for_each = local.buckets

  bucket = local.bucket_ids[each.key]

  rule {
    # Evidence has to be readable for years, whatever becomes of a key: S3's own encrypts it.
    bucket_key_enabled = each.key == "backup" && local.has_key ? true : null
    apply_server_side_encryption_by_default {
      sse_algorithm     = each.key == "backup" && local.has_key ? "aws:kms" : "AES256"
      kms_master_key_id = each.key == "backup" ? local.kms_key_arn : null
    }
  }
}

resource "aws_s3_bucket_policy" "this" {
  for_each = local.buckets

  bucket = local.bucket_ids[each.key]
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [for sid, condition in {
      OnlyOverTls   = { Bool = { "aws:SecureTransport" = "false" } }
      OnlyOverTls12 = { NumericLessThan = { "s3:TlsVersion" = "1.2" } }
      } : {
      Sid       = sid
      Effect    = "Deny"
      Principal = "*"
      Action    = "s3:*"
      Resource  = ["arn:${local.partition}:s3:::${each.value}", "arn:${local.partition}:s3:::${each.value}/*"]
      Condition = condition
    }]
  })

  depends_on = [aws_s3_bucket_public_access_block.this]
}

resource "aws_s3_bucket_logging" "this" {
  for_each = { for use, name in local.buckets : use => name if var.access_log_bucket != null }

  bucket        = local.bucket_ids[each.key]
  target_bucket = var.access_log_bucket
  target_prefix = "${each.value}/"
}

resource "aws_s3_bucket_lifecycle_configuration" "backup" {
  count = length(aws_s3_bucket.backup)

  bucket = aws_s3_bucket.backup[0].id

  rule {
    id     = "segments-of-ended-migrations"
    status = "Enabled"
    filter {}

    abort_incomplete_multipart_upload {
      days_after_initiation = 7
    }
    noncurrent_version_expiration {
      noncurrent_days = 7
    }
    dynamic "expiration" {
      for_each = var.backup_expire_days > 0 ? [var.backup_expire_days] : []
      content {
        days = expiration.value
      }
    }
  }

  rule {
    id     = "deletion-markers"
    status = "Enabled"
    filter {}

    expiration {
      expired_object_delete_marker = true
    }
  }

  depends_on = [aws_s3_bucket_versioning.this]
}

resource "aws_s3_bucket_object_lock_configuration" "evidence" {
  count = var.evidence_retention == null ? 0 : length(aws_s3_bucket.evidence)

  bucket = aws_s3_bucket.evidence[0].id

  rule {
    default_retention {
      mode = upper(var.evidence_retention.mode)
      days = var.evidence_retention.days
    }
  }

  depends_on = [aws_s3_bucket_versioning.this]
}
