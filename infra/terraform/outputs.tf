output "name" {
  description = "What `msk-kraft --deployment` takes."
  value       = var.name
}

output "parameter_name" {
  description = "SSM parameter by which the CLI finds the deployment."
  value       = one(aws_ssm_parameter.deployment[*].name)
}

output "state_machine_arn" {
  description = "ARN of the state machine."
  value       = one(aws_sfn_state_machine.this[*].arn)
}

output "function_arns" {
  description = "ARN of the alias of each function."
  value       = { for name, alias in aws_lambda_alias.live : name => alias.arn }
}

output "function_version_arns" {
  description = "ARN of the version of each function that the state machine calls."
  value       = { for name, function in aws_lambda_function.this : name => function.qualified_arn }
}

output "role_arns" {
  description = "ARN of the role of each function and of the state machine."
  value       = { for name, role in aws_iam_role.this : name => role.arn }
}

output "policies" {
  description = "The policy of each role, for roles that are made elsewhere."
  value       = { for name, policy in local.policies : name => jsonencode(policy) }
}

output "operator_policy_arn" {
  description = "ARN of the policy of those who run migrations."
  value       = try(aws_iam_policy.people["operator"].arn, null)
}

output "auditor_policy_arn" {
  description = "ARN of the policy of those who read journal and evidence."
  value       = try(aws_iam_policy.people["auditor"].arn, null)
}

output "operator_role_arn" {
  description = "ARN of the operator's role, when principals were given."
  value       = try(aws_iam_role.people["operator"].arn, null)
}

output "auditor_role_arn" {
  description = "ARN of the auditor's role, when principals were given."
  value       = try(aws_iam_role.people["auditor"].arn, null)
}

output "journal_table" {
  description = "Name of the journal's table."
  value       = local.table
}

output "backup_bucket" {
  description = "Name of the bucket of the working data."
  value       = local.backup_bucket
}

output "evidence_bucket" {
  description = "Name of the bucket of the evidence."
  value       = local.evidence_bucket
}

output "kms_key_arn" {
  description = "ARN of the deployment's key."
  value       = local.kms_key_arn
}

output "security_group_id" {
  description = "Security group of the functions, which brokers have to let in."
  value       = one(aws_security_group.functions[*].id)
}

output "sns_topic_arn" {
  description = "Topic of alarms and notices."
  value       = one(local.topic_arns)
}

output "acknowledge_url" {
  description = "URL at which webhooks acknowledge later."
  value       = one(aws_lambda_function_url.acknowledge[*].function_url)
}
