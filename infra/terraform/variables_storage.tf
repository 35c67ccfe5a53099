# Inputs of journal, buckets and key.

variable "create_journal_table" {
  description = "Whether the journal's table is created."
  type        = bool
  default     = true
}

variable "journal_table" {
  description = "Name of the journal's table, or of the existing one; NAME-journal if unset."
  type        = string
  default     = null

  validation {
    condition     = var.create_journal_table || var.journal_table != null
    error_message = "journal_table has to name the existing table when create_journal_table is false."
  }
}

variable "create_backup_bucket" {
  description = "Whether the bucket of the working data is created."
  type        = bool
  default     = true
}

variable "backup_bucket" {
  description = "Name of the bucket of the working data, or of the existing one; NAME-backup-ACCOUNT-REGION if unset."
  type        = string
  default     = null

  validation {
    condition     = var.create_backup_bucket || var.backup_bucket != null
    error_message = "backup_bucket has to name the existing bucket when create_backup_bucket is false."
  }
}

variable "backup_prefix" {
  description = "Prefix below which migrations keep their working data (backup.s3_prefix begins with it)."
  type        = string
  default     = ""

  validation {
    condition     = var.backup_prefix == "" || can(regex("^[A-Za-z0-9._-][A-Za-z0-9._/-]*/$", var.backup_prefix))
    error_message = "backup_prefix has to end with a slash and must not begin with one."
  }
}

variable "backup_expire_days" {
  description = "Days after which working data is removed; 0 keeps it. Migrations that run longer lose segments: leave room."
  type        = number
  default     = 90

  validation {
    condition     = var.backup_expire_days == 0 || var.backup_expire_days >= 7
    error_message = "backup_expire_days has to be 7 or more, or 0 to keep everything: segments are read until a migration is finalized."
  }
}

variable "create_evidence_bucket" {
  description = "Whether the bucket of the evidence is created."
  type        = bool
  default     = true
}

variable "evidence_bucket" {
  description = "Name of the bucket of the evidence, or of the existing one; NAME-evidence-ACCOUNT-REGION if unset."
  type        = string
  default     = null

  validation {
    condition     = var.create_evidence_bucket || var.evidence_bucket != null
    error_message = "evidence_bucket has to name the existing bucket when create_evidence_bucket is false."
  }
}

variable "evidence_prefix" {
  description = "Prefix below which migrations keep their evidence (evidence.s3_prefix begins with it)."
  type        = string
  default     = ""

  validation {
    condition     = var.evidence_prefix == "" || can(regex("^[A-Za-z0-9._-][A-Za-z0-9._/-]*/$", var.evidence_prefix))
    error_message = "evidence_prefix has to end with a slash and must not begin with one."
  }
}

variable "evidence_object_lock" {
  description = "Whether the evidence's bucket has Object Lock, and evidence may lock what it writes. Terraform would replace the bucket to change it, and refuses."
  type        = bool
  default     = true
}

variable "evidence_retention" {
  description = "How long every object of the evidence's bucket is locked when the migration says nothing. compliance can be shortened by nobody."
  type = object({
    mode = string
    days = number
  })
  default = null

  validation {
    condition     = var.evidence_retention == null || try(contains(["compliance", "governance"], var.evidence_retention.mode) && var.evidence_retention.days >= 1, false)
    error_message = "evidence_retention.mode has to be compliance or governance, and days 1 or more."
  }
  validation {
    condition     = var.evidence_retention == null || (var.create_evidence_bucket && var.evidence_object_lock)
    error_message = "evidence_retention is for a bucket with Object Lock that is created here."
  }
}

variable "access_log_bucket" {
  description = "Existing bucket for the access logs of both buckets."
  type        = string
  default     = null
}

variable "create_kms_key" {
  description = "Whether a KMS key is created for journal, working data, logs and notifications."
  type        = bool
  default     = true

  validation {
    condition     = !(var.create_kms_key && var.kms_key_arn != null)
    error_message = "create_kms_key has to be false when kms_key_arn is given."
  }
}

variable "kms_key_arn" {
  description = "Existing KMS key instead of a new one; README says what its policy has to allow. Without any, AWS owned keys and SSE-S3 encrypt."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key_arn == null || can(regex("^arn:[^:]+:kms:[^:]+:\\d{12}:key/", var.kms_key_arn))
    error_message = "kms_key_arn has to be the ARN of a key, not of an alias."
  }
}
