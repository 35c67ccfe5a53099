# Inputs: what is deployed, and for which clusters. Those of network, storage, roles and observability have files of their own.

# General ------------------------------------------------------------------------------------------------------------

variable "create" {
  description = "Whether anything is created at all."
  type        = bool
  default     = true
}

variable "name" {
  description = "Name of the deployment: what `msk-kraft --deployment NAME` finds, and what names begin with."
  type        = string
  default     = "msk-kraft"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,22}[a-z0-9]$", var.name))
    error_message = "name has to be 3 to 24 lower case letters, digits and dashes, with a letter first and no dash last, so that names of buckets and roles are not too long."
  }
}

variable "tags" {
  description = "Tags of everything that takes tags."
  type        = map(string)
  default     = {}
}

variable "environment" {
  description = "Environment variables of every function, beside those that it has anyway."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for key in keys(var.environment) : !startswith(key, "MSK_KRAFT_") && !startswith(key, "AWS_")])
    error_message = "environment has a variable that begins with MSK_KRAFT_ or AWS_: those are set by this module and by Lambda."
  }
}

# Packages -----------------------------------------------------------------------------------------------------------

variable "architecture" {
  description = "Architecture that the packages were built for: arm64 or x86_64."
  type        = string
  default     = "arm64"

  validation {
    condition     = contains(["arm64", "x86_64"], var.architecture)
    error_message = "architecture has to be arm64 or x86_64."
  }
}

variable "packages_dir" {
  description = "Folder with FUNCTION.zip for each function, as `make package` writes it. By default target/package/ARCHITECTURE of this repository."
  type        = string
  default     = null
}

variable "packages_s3" {
  description = "Existing objects to take the packages from instead of packages_dir. keys has the key of each function's zip; without it, it is PREFIX/FUNCTION.zip. Put the release into prefix or the keys: a new object under the same key is not noticed, unless hashes (base64 SHA-256 by function) say so."
  type = object({
    bucket = string
    prefix = optional(string, "")
    keys   = optional(map(string), {})
    hashes = optional(map(string), {})
  })
  default = null
}

variable "packages_manifest" {
  description = "File manifest.json of the packages, whose version, commit and hashes the evidence carries. By default that in packages_dir, if there is one."
  type        = string
  default     = null
}

# Clusters -----------------------------------------------------------------------------------------------------------

# What inputs are checked against, wherever they name the same.
locals {
  auth_modes = keys(local.description.broker_ports)
  whole_arn = {
    cluster = "^arn:[^:*]+:kafka:[^:*]+:\\d{12}:cluster/[^/*]+/[^/*]+$"
    secret  = "^arn:[^:*]+:secretsmanager:[^:*]+:\\d{12}:secret:[^*]+-[A-Za-z0-9]{6}$"
  }
}

variable "source_cluster" {
  description = <<-EOT
    The clusters to leave.
      cluster_arns                  MSK clusters that migrations of this deployment may name
      auth                          plaintext, tls, mtls, scram-sha-512 or iam
      bootstrap_servers_configured  migrations name bootstrap servers, so that the MSK API is not asked for them
      secret_arns, secret_key_arns  secrets of yours that migrations name, and the KMS keys of those; without keys any key of the secrets' accounts, for these secrets only
      role_arn                      role to assume for clusters of another account, which then reads their secrets too
      security_group_ids, cidrs     where the brokers are, for the rules of the functions' security group
      ports                         ports of the brokers, when they are not those that MSK has for auth
  EOT
  type = object({
    cluster_arns                 = list(string)
    auth                         = string
    bootstrap_servers_configured = optional(bool, false)
    secret_arns                  = optional(list(string), [])
    secret_key_arns              = optional(list(string), [])
    role_arn                     = optional(string)
    security_group_ids           = optional(list(string), [])
    cidrs                        = optional(list(string), [])
    ports                        = optional(list(number), [])
  })

  validation {
    condition     = contains(local.auth_modes, var.source_cluster.auth)
    error_message = "source_cluster.auth has to be one of ${join(", ", local.auth_modes)}."
  }
  validation {
    condition     = length(var.source_cluster.cluster_arns) > 0 && alltrue([for arn in var.source_cluster.cluster_arns : can(regex(local.whole_arn.cluster, arn))])
    error_message = "source_cluster.cluster_arns needs at least one ARN of an MSK cluster (arn:aws:kafka:REGION:ACCOUNT:cluster/NAME/UUID)."
  }
  validation {
    condition     = alltrue([for arn in var.source_cluster.secret_arns : can(regex(local.whole_arn.secret, arn))])
    error_message = "source_cluster.secret_arns has something else than whole ARNs of secrets, with the six letters at their end."
  }
  validation {
    condition     = length(var.source_cluster.secret_key_arns) == 0 || length(var.source_cluster.secret_arns) > 0
    error_message = "source_cluster.secret_key_arns are the keys of secret_arns, and there are none."
  }
}

variable "target_cluster" {
  description = "The clusters in KRaft mode to move to; fields as in source_cluster."
  type = object({
    cluster_arns                 = list(string)
    auth                         = string
    bootstrap_servers_configured = optional(bool, false)
    secret_arns                  = optional(list(string), [])
    secret_key_arns              = optional(list(string), [])
    role_arn                     = optional(string)
    security_group_ids           = optional(list(string), [])
    cidrs                        = optional(list(string), [])
    ports                        = optional(list(number), [])
  })

  validation {
    condition     = contains(local.auth_modes, var.target_cluster.auth)
    error_message = "target_cluster.auth has to be one of ${join(", ", local.auth_modes)}."
  }
  validation {
    condition     = length(var.target_cluster.cluster_arns) > 0 && alltrue([for arn in var.target_cluster.cluster_arns : can(regex(local.whole_arn.cluster, arn))])
    error_message = "target_cluster.cluster_arns needs at least one ARN of an MSK cluster (arn:aws:kafka:REGION:ACCOUNT:cluster/NAME/UUID)."
  }
  validation {
    condition     = alltrue([for arn in var.target_cluster.secret_arns : can(regex(local.whole_arn.secret, arn))])
    error_message = "target_cluster.secret_arns has something else than whole ARNs of secrets, with the six letters at their end."
  }
  validation {
    condition     = length(var.target_cluster.secret_key_arns) == 0 || length(var.target_cluster.secret_arns) > 0
    error_message = "target_cluster.secret_key_arns are the keys of secret_arns, and there are none."
  }
  validation {
    condition     = length(setintersection(var.target_cluster.cluster_arns, var.source_cluster.cluster_arns)) == 0
    error_message = "target_cluster.cluster_arns has a cluster that is a source too: a cluster is migrated to another one."
  }
}

variable "run_secrets" {
  description = "Whether migrations keep what they sign in with in secrets of their own. By default when the auth of a side needs something to keep (all but iam and plaintext)."
  type        = bool
  default     = null
}

variable "write_fence" {
  description = "Whether migrations may use the write fence (cutover.write_fence: acl), for which gate reaches the source's brokers."
  type        = bool
  default     = false

  validation {
    condition     = !(var.write_fence && var.source_cluster.auth == "iam")
    error_message = "write_fence does not go with source_cluster.auth = \"iam\": no ACL of Kafka holds clients that sign in with IAM."
  }
}

variable "webhooks" {
  description = "Whether migrations call webhooks; the secret that signs the calls, and its KMS keys; whether gate gets a function URL on which they are acknowledged later."
  type = object({
    enabled         = optional(bool, false)
    secret_arn      = optional(string)
    secret_key_arns = optional(list(string), [])
    acknowledge_url = optional(bool, false)
  })
  default = {}

  validation {
    condition     = var.webhooks.enabled || (var.webhooks.secret_arn == null && !var.webhooks.acknowledge_url)
    error_message = "webhooks.enabled is not true, and secret_arn and acknowledge_url mean nothing without it."
  }
  validation {
    condition     = var.webhooks.secret_arn == null || can(regex(local.whole_arn.secret, var.webhooks.secret_arn))
    error_message = "webhooks.secret_arn has to be the whole ARN of a secret, with the six letters at its end."
  }
  validation {
    condition     = !var.webhooks.acknowledge_url || var.webhooks.secret_arn != null
    error_message = "webhooks.secret_arn is required with acknowledge_url: acknowledgements are accepted by their signature alone."
  }
}

variable "signing_key_arn" {
  description = "Secret with the key that signs the evidence."
  type        = string
  default     = null

  validation {
    condition     = var.signing_key_arn == null || can(regex(local.whole_arn.secret, var.signing_key_arn))
    error_message = "signing_key_arn has to be the whole ARN of a secret, with the six letters at its end."
  }
}

variable "signing_key_key_arns" {
  description = "KMS keys of signing_key_arn; without them any key of its account, for this secret only."
  type        = list(string)
  default     = []

  validation {
    condition     = length(var.signing_key_key_arns) == 0 || var.signing_key_arn != null
    error_message = "signing_key_key_arns are the keys of signing_key_arn, which is missing."
  }
}
