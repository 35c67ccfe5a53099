# Create flags: off means off, and what is there already is used.

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

run "nothing" {
  command = plan

  variables {
    create                  = false
    notification_emails     = ["someone@example.com"]
    operator_principal_arns = ["arn:aws:iam::123456789012:role/someone"]
    evidence_retention      = { mode = "governance", days = 1 }
  }

  assert {
    condition = 0 == sum([for resources in [
      aws_lambda_function.this, aws_lambda_alias.live, aws_iam_role.this, aws_iam_role_policy.this, aws_iam_policy.people,
      aws_iam_role.people, aws_iam_role_policy_attachment.people, aws_cloudwatch_log_group.functions,
      aws_cloudwatch_log_group.state_machine, aws_sfn_state_machine.this, aws_dynamodb_table.journal, aws_s3_bucket.backup,
      aws_s3_bucket.evidence, aws_s3_bucket_policy.this, aws_s3_bucket_versioning.this, aws_s3_bucket_public_access_block.this,
      aws_s3_bucket_ownership_controls.this, aws_s3_bucket_server_side_encryption_configuration.this,
      aws_s3_bucket_lifecycle_configuration.backup,
      aws_s3_bucket_object_lock_configuration.evidence, aws_s3_bucket_logging.this, aws_kms_key.this, aws_kms_alias.this,
      aws_ssm_parameter.deployment, aws_cloudwatch_metric_alarm.metric, aws_cloudwatch_metric_alarm.expression,
      aws_sns_topic.this, aws_sns_topic_policy.this, aws_sns_topic_subscription.emails, aws_cloudwatch_event_rule.notices,
      aws_cloudwatch_event_target.notices, aws_cloudwatch_dashboard.this, aws_cloudwatch_query_definition.this,
      aws_security_group.functions, aws_security_group.endpoints, aws_vpc_endpoint.gateway, aws_vpc_endpoint.interface,
      aws_lambda_function_url.acknowledge, aws_lambda_permission.acknowledge, aws_cloudwatch_event_rule.pulse,
      aws_cloudwatch_event_target.pulse, aws_lambda_permission.pulse,
      aws_lambda_function_event_invoke_config.pulse,
    ] : length(resources)])
    error_message = "create = false creates something"
  }
}

run "only_what_runs" {
  command = plan

  variables {
    create_journal_table   = false
    journal_table          = "mine"
    create_backup_bucket   = false
    backup_bucket          = "my-backup"
    create_evidence_bucket = false
    evidence_bucket        = "my-evidence"
    create_kms_key         = false
    kms_key_arn            = "arn:aws:kms:eu-west-1:123456789012:key/mine"
    create_sns_topic       = false
    sns_topic_arn          = "arn:aws:sns:eu-west-1:123456789012:mine"
    create_alarms          = false
    create_dashboard       = false
    create_log_queries     = false
    create_event_rules     = false
    create_ssm_parameter   = false
    create_operator_policy = false
    create_auditor_policy  = false
    create_roles           = false
    state_machine_role_arn = "arn:aws:iam::123456789012:role/mine"
    function_role_arns     = { for name in ["precheck", "topology-copy", "seed-partition", "tail-batch", "cutover", "validate", "evidence", "gate"] : name => "arn:aws:iam::123456789012:role/${name}" }
  }

  assert {
    condition = 0 == sum([for resources in [
      aws_iam_role.this, aws_iam_role_policy.this, aws_iam_policy.people, aws_dynamodb_table.journal, aws_s3_bucket.backup,
      aws_s3_bucket.evidence, aws_s3_bucket_policy.this, aws_kms_key.this, aws_ssm_parameter.deployment,
      aws_cloudwatch_metric_alarm.metric, aws_cloudwatch_metric_alarm.expression, aws_sns_topic.this, aws_sns_topic_policy.this,
      aws_cloudwatch_event_rule.notices, aws_cloudwatch_dashboard.this, aws_cloudwatch_query_definition.this,
    ] : length(resources)])
    error_message = "a create flag that is off creates something"
  }

  assert {
    condition     = aws_lambda_function.this["gate"].role == "arn:aws:iam::123456789012:role/gate" && aws_sfn_state_machine.this[0].role_arn == "arn:aws:iam::123456789012:role/mine"
    error_message = "existing roles are not used"
  }

  assert {
    condition     = aws_lambda_function.this["gate"].environment[0].variables.MSK_KRAFT_TABLE == "mine"
    error_message = "functions do not get the existing table"
  }

  assert {
    condition     = strcontains(output.policies["precheck"], "table/mine\"") && strcontains(output.policies["precheck"], "arn:aws:s3:::my-backup/*") && strcontains(output.policies["precheck"], "key/mine")
    error_message = "the output policies does not speak of what is there already"
  }

  assert {
    condition     = alltrue([for group in aws_cloudwatch_log_group.functions : group.kms_key_id == "arn:aws:kms:eu-west-1:123456789012:key/mine"])
    error_message = "logs are not encrypted with the existing key"
  }
}

run "notices_go_to_the_existing_topic" {
  command = plan

  variables {
    create_sns_topic = false
    sns_topic_arn    = "arn:aws:sns:eu-west-1:123456789012:mine"
  }

  assert {
    condition     = length(aws_sns_topic.this) == 0 && aws_cloudwatch_event_target.notices["executions"].arn == "arn:aws:sns:eu-west-1:123456789012:mine"
    error_message = "notices of executions do not go to the existing topic"
  }

  assert {
    condition     = alltrue([for alarm in aws_cloudwatch_metric_alarm.metric : alarm.alarm_actions == toset(["arn:aws:sns:eu-west-1:123456789012:mine"])])
    error_message = "alarms do not go to the existing topic"
  }
}

run "without_any_key" {
  command = plan

  variables {
    create_kms_key = false
  }

  assert {
    condition     = alltrue([for policy in output.policies : !strcontains(policy, "kms:GenerateDataKey")])
    error_message = "functions may use a key for the working data, and there is none"
  }

  assert {
    condition     = one(one(aws_s3_bucket_server_side_encryption_configuration.this["backup"].rule).apply_server_side_encryption_by_default).sse_algorithm == "AES256"
    error_message = "the working data is not encrypted by S3's own keys"
  }
}
