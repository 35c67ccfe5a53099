# Alarms, notices, dashboard and queries.

mock_provider "aws" {
  source          = "./tests/mocks"
  override_during = plan
}

variables {
  name = "orders"
  source_cluster = {
    cluster_arns = ["arn:aws:kafka:eu-west-1:123456789012:cluster/here/1"]
    auth         = "plaintext"
  }
  target_cluster = {
    cluster_arns = ["arn:aws:kafka:us-east-1:123456789012:cluster/elsewhere/2"]
    auth         = "iam"
  }
  notification_emails = ["someone@example.com"]
}

run "alarms" {
  command = plan

  assert {
    condition = length(aws_cloudwatch_metric_alarm.metric) + length(aws_cloudwatch_metric_alarm.expression) == sum([
      for alarm in local.description.alarms : { deployment = 1, function = length(local.description.functions), cluster = 1 }[alarm.scope]
    ])
    error_message = "there is each alarm for everything that it is about: deployment, functions, and clusters of this region"
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.metric["migration-failed"].dimensions == tomap({ StateMachineArn = "arn:aws:states:eu-west-1:123456789012:stateMachine:orders" })
    error_message = "the alarm for failed migrations is about the state machine"
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.metric["function-near-timeout-gate"].extended_statistic == "p99" && aws_cloudwatch_metric_alarm.metric["function-near-timeout-gate"].dimensions == tomap({ FunctionName = "orders-gate" })
    error_message = "alarms for functions have percentiles and names"
  }

  assert {
    condition     = strcontains(one([for query in aws_cloudwatch_metric_alarm.expression["cluster-cpu-here"].metric_query : query.expression]), "'here'")
    error_message = "alarms for clusters have their names"
  }

  assert {
    condition     = alltrue([for alarm in concat(values(aws_cloudwatch_metric_alarm.metric), values(aws_cloudwatch_metric_alarm.expression)) : !can(regex("\\{[a-z_]+\\}", jsonencode([alarm.dimensions, alarm.metric_query])))])
    error_message = "an alarm has a placeholder that nothing was put in place of"
  }

  assert {
    condition     = alltrue([for alarm in concat(values(aws_cloudwatch_metric_alarm.metric), values(aws_cloudwatch_metric_alarm.expression)) : length(alarm.alarm_actions) == 1 && contains(["breaching", "notBreaching"], alarm.treat_missing_data)])
    error_message = "each alarm tells somebody, and knows what missing data means"
  }
}

run "notices" {
  command = plan

  assert {
    condition     = { for name, rule in aws_cloudwatch_event_rule.notices : name => jsondecode(rule.event_pattern).source } == { executions = ["aws.states"], gates = ["msk-kraft"], phases = ["msk-kraft"] }
    error_message = "the topic is not told of executions, phases and gates"
  }

  assert {
    condition     = jsondecode(aws_cloudwatch_event_rule.notices["executions"].event_pattern).detail.stateMachineArn == ["arn:aws:states:eu-west-1:123456789012:stateMachine:orders"] && jsondecode(aws_cloudwatch_event_rule.notices["gates"].event_pattern).detail.deployment == ["orders"]
    error_message = "notices are those of other deployments too"
  }

  assert {
    condition     = alltrue([for target in aws_cloudwatch_event_target.notices : !can(regex("detail.(input|output)", jsonencode(target.input_transformer[0].input_paths)))])
    error_message = "notices hold what executions were given"
  }

  # Each name in a text has its path, and the text is JSON.
  assert {
    condition = alltrue([for target in aws_cloudwatch_event_target.notices :
      toset([for name in flatten(regexall("<(\\w+)>", target.input_transformer[0].input_template)) : name]) == toset(keys(target.input_transformer[0].input_paths))
    ])
    error_message = "a notice names what it does not have"
  }

  assert {
    condition     = aws_sns_topic.this[0].kms_master_key_id == "arn:aws:kms:eu-west-1:123456789012:key/created"
    error_message = "the topic is not encrypted with the deployment's key"
  }

  assert {
    condition = {
      for statement in jsondecode(aws_sns_topic_policy.this[0].policy).Statement : statement.Principal.Service => can(statement.Condition)
      if statement.Effect == "Allow"
    } == { "cloudwatch.amazonaws.com" = true, "events.amazonaws.com" = false }
    error_message = "somebody else publishes, or EventBridge has to fulfil a condition, which it never does"
  }

  assert {
    condition = {
      for statement in jsondecode(aws_kms_key.this[0].policy).Statement : statement.Principal.Service => can(statement.Condition)
      if strcontains(statement.Sid, "AlarmsOf") || strcontains(statement.Sid, "NoticesOf")
    } == { "cloudwatch.amazonaws.com" = true, "events.amazonaws.com" = false }
    error_message = "alarms or notices can not use the key of the topic"
  }

  assert {
    condition     = aws_sns_topic_subscription.emails["someone@example.com"].protocol == "email"
    error_message = "addresses are subscribed"
  }
}

run "pulse" {
  command = plan

  assert {
    condition     = length(aws_cloudwatch_event_rule.pulse) == 1
    error_message = "nobody watches over migrations"
  }

  assert {
    condition     = alltrue([for rule in aws_cloudwatch_event_rule.pulse : rule.name == "orders-pulse" && rule.schedule_expression == "rate(1 minute)"])
    error_message = "the pulse has another name than its alarm, or another pace"
  }

  assert {
    condition     = alltrue([for permission in aws_lambda_permission.pulse : permission.qualifier == "live" && permission.source_arn == "arn:aws:events:eu-west-1:123456789012:rule/orders-pulse"])
    error_message = "the function does not let the pulse in, or lets in others"
  }

  assert {
    condition     = alltrue([for target in aws_cloudwatch_event_target.pulse : jsondecode(target.input) == local.description.pulse.input])
    error_message = "the function is asked something else"
  }
}

run "dashboard_and_queries" {
  command = plan

  assert {
    condition     = [for widget in jsondecode(aws_cloudwatch_dashboard.this[0].dashboard_body).widgets : widget.properties.title] == [for graph in local.description.dashboard : graph.title]
    error_message = "the dashboard has each graph"
  }

  assert {
    condition     = alltrue([for widget in jsondecode(aws_cloudwatch_dashboard.this[0].dashboard_body).widgets : length(widget.properties.metrics) > 0])
    error_message = "a graph has no lines"
  }

  assert {
    condition     = alltrue([for query in local.description.queries : aws_cloudwatch_query_definition.this[query.name].name == "orders/${query.name}" && length(aws_cloudwatch_query_definition.this[query.name].log_group_names) == length(local.description.functions)])
    error_message = "each query is saved, over the logs of all functions"
  }
}
