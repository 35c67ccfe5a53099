# The pulse, which watches over migrations once a minute, and notices of executions, phases and gates.

locals {
  pulse = local.description.pulse

  # What the pulse announces of this deployment's migrations, by the type of the event.
  announced = { for type in ["phase_changed", "waits"] : type => {
    source      = [local.pulse.event_source]
    detail-type = [local.pulse[type]]
    detail      = { deployment = [var.name] }
  } }

  # What is told, and how: never with what executions were given, which has no place in a mail.
  notices = { for name, notice in {
    executions = {
      description = "an execution began or ended"
      pattern = {
        source      = ["aws.states"]
        detail-type = ["Step Functions Execution Status Change"]
        detail      = { stateMachineArn = [local.state_machine_arn] }
      }
      paths = { execution = "$.detail.name", status = "$.detail.status" }
      text  = "execution <execution> is <status>. msk-kraft status tells where its migration stands."
    }
    phases = {
      description = "a migration went on"
      pattern     = local.announced.phase_changed
      # Without the reason: quotes in it would make the text no JSON, and it would not be told at all.
      paths = { migration = "$.detail.migration_id", phase = "$.detail.to", time = "$.detail.at" }
      text  = "migration <migration> is in <phase> since <time>."
    }
    gates = {
      description = "a migration waits for somebody"
      pattern     = local.announced.waits
      paths       = { migration = "$.detail.migration_id", command = "$.detail.command", time = "$.detail.since" }
      text        = "migration <migration> waits since <time> for: <command>"
    }
  } : name => notice if var.create && var.create_event_rules && (var.create_sns_topic || var.sns_topic_arn != null) }
}

resource "aws_cloudwatch_event_rule" "pulse" {
  count = var.create ? 1 : 0

  name                = "${var.name}-pulse"
  description         = "msk-kraft ${var.name}: watches over migrations"
  schedule_expression = local.pulse.minutes == 1 ? "rate(1 minute)" : "rate(${local.pulse.minutes} minutes)"
  tags                = local.tags
}

resource "aws_cloudwatch_event_target" "pulse" {
  count = length(aws_cloudwatch_event_rule.pulse)

  rule  = aws_cloudwatch_event_rule.pulse[0].name
  arn   = aws_lambda_alias.live[local.pulse.function].arn
  input = jsonencode(local.pulse.input)

  # The next one comes anyway.
  retry_policy {
    maximum_event_age_in_seconds = 60
    maximum_retry_attempts       = 0
  }
}

# Nothing else invokes the alias without waiting for the answer.
resource "aws_lambda_function_event_invoke_config" "pulse" {
  count = length(aws_cloudwatch_event_rule.pulse)

  function_name                = aws_lambda_function.this[local.pulse.function].function_name
  qualifier                    = aws_lambda_alias.live[local.pulse.function].name
  maximum_event_age_in_seconds = 60
  maximum_retry_attempts       = 0
}

resource "aws_lambda_permission" "pulse" {
  count = length(aws_cloudwatch_event_rule.pulse)

  statement_id  = "Pulse"
  action        = "lambda:InvokeFunction"
  function_name = aws_lambda_function.this[local.pulse.function].function_name
  qualifier     = aws_lambda_alias.live[local.pulse.function].name
  principal     = "events.amazonaws.com"
  source_arn    = "arn:${local.partition}:events:${local.regional}:rule/${var.name}-pulse"
}

resource "aws_cloudwatch_event_rule" "notices" {
  for_each = local.notices

  name          = "${var.name}-${each.key}"
  description   = "msk-kraft ${var.name}: ${each.value.description}"
  event_pattern = jsonencode(each.value.pattern)
  tags          = local.tags
}

resource "aws_cloudwatch_event_target" "notices" {
  for_each = local.notices

  rule = aws_cloudwatch_event_rule.notices[each.key].name
  arn  = local.topic_arns[0]

  input_transformer {
    input_paths = each.value.paths
    # JSON by hand: jsonencode would escape the brackets of placeholders.
    input_template = "\"msk-kraft ${var.name} in ${local.region}: ${each.value.text}\""
  }
}
