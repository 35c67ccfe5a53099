# What the symbols of the description's statements stand for in this deployment: lists of ARNs, and IAM's conditions.

locals {
  sides = {
    source = var.source_cluster
    target = var.target_cluster
  }

  # A side as functions ask about it themselves. What a role is assumed for is the role's to ask.
  asked = { for name, side in local.sides : name => merge(side, {
    cluster_arns    = side.role_arn == null ? side.cluster_arns : []
    secret_arns     = side.role_arn == null ? side.secret_arns : []
    secret_key_arns = side.role_arn == null ? side.secret_key_arns : []
  }) }
  cluster_roles = distinct([for side in local.sides : side.role_arn if side.role_arn != null])

  # Migrations store what they sign in with unless nothing of it is secret.
  run_secrets = coalesce(var.run_secrets, anytrue([for side in local.sides : !contains(["iam", "plaintext"], side.auth)]))
  # The gate function reaches out of AWS: to webhooks, or to the source's brokers.
  gate_calls = var.webhooks.enabled || var.write_fence

  backup_arn       = "arn:${local.partition}:s3:::${local.backup_bucket}"
  evidence_arn     = "arn:${local.partition}:s3:::${local.evidence_bucket}"
  evidence_objects = ["${local.evidence_arn}/${var.evidence_prefix}*"]
  cluster_arns     = concat(local.asked.source.cluster_arns, local.asked.target.cluster_arns)
  # The action that asks for brokers knows no resources.
  looked_up         = anytrue([for side in local.asked : !side.bootstrap_servers_configured && length(side.cluster_arns) > 0]) ? ["*"] : []
  stored_secrets    = "arn:${local.partition}:secretsmanager:${local.regional}:secret:msk-kraft"
  of_runs           = local.run_secrets ? ["${local.stored_secrets}/*"] : []
  given_secrets     = distinct(concat(local.asked.source.secret_arns, local.asked.target.secret_arns))
  webhook_key       = [for arn in [var.webhooks.secret_arn] : arn if arn != null]
  signing_key       = [for arn in [var.signing_key_arn] : arn if arn != null]
  kafka_arns        = { for name, side in local.asked : name => side.auth == "iam" ? side.cluster_arns : [] }
  function_patterns = [for name in local.function_names : "arn:${local.partition}:lambda:${local.regional}:function:${name}"]

  # The keys of secrets: those that are named, else any of the secrets' accounts, since a secret does not tell its key.
  any_key = { for arn in concat(local.given_secrets, local.webhook_key, local.signing_key) : arn => join(":", concat(
    ["arn", split(":", arn)[1], "kms"], slice(split(":", arn), 3, 5), ["key/*"]
  )) }
  secret_keys = { for name, side in local.asked : name => (
    length(side.secret_key_arns) > 0 ? side.secret_key_arns : [for arn in side.secret_arns : local.any_key[arn]]
  ) }
  webhook_key_keys = length(var.webhooks.secret_key_arns) > 0 ? var.webhooks.secret_key_arns : [for arn in local.webhook_key : local.any_key[arn]]
  signing_key_keys = length(var.signing_key_key_arns) > 0 ? var.signing_key_key_arns : [for arn in local.signing_key : local.any_key[arn]]

  kafka_symbols = merge([for name, arns in local.kafka_arns : {
    "${name}-kafka-cluster"           = arns
    "${name}-kafka-topics"            = [for arn in arns : "${replace(arn, ":cluster/", ":topic/")}/*"]
    "${name}-kafka-groups"            = [for arn in arns : "${replace(arn, ":cluster/", ":group/")}/*"]
    "${name}-kafka-transactional-ids" = [for arn in arns : "${replace(arn, ":cluster/", ":transactional-id/")}/*"]
  }]...)

  symbols = merge(local.kafka_symbols, {
    "journal"                     = ["arn:${local.partition}:dynamodb:${local.regional}:table/${local.table}"]
    "backup-bucket"               = [local.backup_arn]
    "backup-objects"              = ["${local.backup_arn}/${var.backup_prefix}*"]
    "manifest"                    = ["${local.backup_arn}/${var.backup_prefix}*/manifests/batches.json"]
    "evidence-bucket"             = [local.evidence_arn]
    "evidence-objects"            = local.evidence_objects
    "locked-evidence"             = var.evidence_object_lock ? local.evidence_objects : []
    "both-buckets"                = distinct([local.backup_arn, local.evidence_arn])
    "backup-key"                  = local.kms_key_arns
    "source-cluster"              = local.asked.source.cluster_arns
    "clusters"                    = local.cluster_arns
    "looked-up-clusters"          = local.looked_up
    "looked-up-clusters-for-gate" = local.gate_calls ? local.looked_up : []
    "sign-in-secrets"             = concat(local.of_runs, local.given_secrets)
    "sign-in-keys"                = distinct(concat(local.secret_keys.source, local.secret_keys.target))
    "source-sign-in-secrets"      = var.write_fence ? concat(local.of_runs, local.asked.source.secret_arns) : []
    "source-sign-in-keys"         = var.write_fence ? distinct(local.secret_keys.source) : []
    "webhook-urls" = var.webhooks.enabled ? [
      "${local.stored_secrets}/*/webhook-??????", "${local.stored_secrets}/*/client-switch-webhook-??????"
    ] : []
    "cluster-roles"          = local.cluster_roles
    "cluster-roles-for-gate" = local.gate_calls ? local.cluster_roles : []
    "signing-key"            = local.signing_key
    "signing-key-keys"       = local.signing_key_keys
    "webhook-key"            = local.webhook_key
    "webhook-key-keys"       = local.webhook_key_keys
    "run-secrets"            = local.run_secrets || var.webhooks.enabled ? ["${local.stored_secrets}/*"] : []
    "question-secrets"       = local.run_secrets ? ["${local.stored_secrets}/question-*/*"] : []
    "state-machine"          = [local.state_machine_arn]
    "executions"             = ["arn:${local.partition}:states:${local.regional}:execution:${var.name}:*"]
    "map-runs"               = ["arn:${local.partition}:states:${local.regional}:execution:${var.name}/*"]
    # The state machine calls numbered versions.
    "functions" = [for arn in local.function_patterns : "${arn}:*"]
    "asked-functions" = [
      for name in local.description.asked_functions :
      "arn:${local.partition}:lambda:${local.regional}:function:${var.name}-${name}:${local.description.qualifier}"
    ]
    "event-bus"            = ["arn:${local.partition}:events:${local.regional}:event-bus/default"]
    "deployment-parameter" = ["arn:${local.partition}:ssm:${local.regional}:parameter${local.parameter}"]
    "everything"           = ["*"]
  })

  # Secrets that a migration stores itself, whose names end in a wildcard, have the key that Secrets Manager keeps.
  conditions = merge(
    { "through-s3" = { StringEquals = { "kms:ViaService" = ["s3.${local.region}.amazonaws.com"] } } },
    { for symbol in ["sign-in-secrets", "source-sign-in-secrets", "webhook-key", "signing-key"] : "for-${symbol}" => {
      StringEquals = {
        "kms:EncryptionContext:SecretARN" = [for arn in local.symbols[symbol] : arn if !endswith(arn, "*")]
        "kms:ViaService" = distinct([
          for arn in local.symbols[symbol] : "secretsmanager.${split(":", arn)[3]}.amazonaws.com" if !endswith(arn, "*")
        ])
      }
    } }
  )
}
