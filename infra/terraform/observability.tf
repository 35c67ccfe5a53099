# Logs, alarms, notices, the dashboard and saved queries.

locals {
  logs_key   = var.cloudwatch_logs_kms_key_id != null ? var.cloudwatch_logs_kms_key_id : local.kms_key_arn
  topic_arn  = "arn:${local.partition}:sns:${local.regional}:${var.name}-notices"
  topic_arns = concat(aws_sns_topic.this[*].arn, var.sns_topic_arn == null ? [] : [var.sns_topic_arn])

  # What each alarm is made for, with what it puts in place of placeholders.
  scopes = {
    deployment = { "" = { function = "", cluster = "" } }
    function   = { for name, deployed in local.function_names : "-${name}" => { function = deployed, cluster = "" } }
    cluster    = { for name in local.cluster_names : "-${name}" => { function = "", cluster = name } }
  }
  alarms = { for alarm in flatten([for alarm in local.description.alarms : [
    for suffix, subject in local.scopes[alarm.scope] : merge(alarm, {
      key = "${alarm.name}${suffix}"
      # Placeholders are filled in the JSON, whatever they are in.
      filled = replace(replace(replace(replace(jsonencode({ metrics = alarm.metrics, expression = alarm.expression }),
        "{name}", var.name), "{state_machine_arn}", local.state_machine_arn),
      "{function}", subject.function), "{cluster_name}", subject.cluster)
    })
  ]]) : alarm.key => merge(alarm, jsondecode(alarm.filled)) if var.create && var.create_alarms }

  whose = {
    "deployment"    = [["deployment", var.name]]
    "state-machine" = [["StateMachineArn", local.state_machine_arn]]
    "functions"     = [for name in local.function_names : ["FunctionName", name]]
  }
}

resource "aws_cloudwatch_log_group" "functions" {
  for_each = local.functions

  name              = "/aws/lambda/${local.function_names[each.key]}"
  retention_in_days = var.cloudwatch_logs_retention_in_days
  kms_key_id        = local.logs_key
  tags              = local.tags
}

resource "aws_cloudwatch_log_group" "state_machine" {
  count = var.create ? 1 : 0

  # Below this prefix the resource policy of logs does not grow with each group.
  name              = "/aws/vendedlogs/states/${var.name}"
  retention_in_days = var.cloudwatch_logs_retention_in_days
  kms_key_id        = local.logs_key
  tags              = local.tags
}

resource "aws_cloudwatch_metric_alarm" "metric" {
  for_each = { for key, alarm in local.alarms : key => alarm if alarm.expression == null }

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = "${each.value.description} See ${each.value.runbook}."
  comparison_operator = each.value.comparison
  threshold           = each.value.threshold
  period              = each.value.period_s
  evaluation_periods  = each.value.evaluation_periods
  datapoints_to_alarm = each.value.datapoints
  treat_missing_data  = each.value.treat_missing_data
  alarm_actions       = local.topic_arns

  namespace          = each.value.metrics[0].namespace
  metric_name        = each.value.metrics[0].metric
  dimensions         = each.value.metrics[0].dimensions
  statistic          = startswith(each.value.metrics[0].statistic, "p") ? null : each.value.metrics[0].statistic
  extended_statistic = startswith(each.value.metrics[0].statistic, "p") ? each.value.metrics[0].statistic : null

  tags = local.tags
}

resource "aws_cloudwatch_metric_alarm" "expression" {
  for_each = { for key, alarm in local.alarms : key => alarm if alarm.expression != null }

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = "${each.value.description} See ${each.value.runbook}."
  comparison_operator = each.value.comparison
  threshold           = each.value.threshold
  evaluation_periods  = each.value.evaluation_periods
  datapoints_to_alarm = each.value.datapoints
  treat_missing_data  = each.value.treat_missing_data
  alarm_actions       = local.topic_arns

  dynamic "metric_query" {
    for_each = each.value.metrics
    content {
      id = metric_query.value.id
      metric {
        namespace   = metric_query.value.namespace
        metric_name = metric_query.value.metric
        dimensions  = metric_query.value.dimensions
        stat        = metric_query.value.statistic
        period      = each.value.period_s
      }
    }
  }

  metric_query {
    id          = "value"
    label       = each.value.name
    expression  = each.value.expression
    return_data = true
    # A query of Metrics Insights has its period here; metric math has that of its metrics.
    period = length(each.value.metrics) == 0 ? each.value.period_s : null
  }

  tags = local.tags
}

resource "aws_sns_topic" "this" {
  count = var.create && var.create_sns_topic ? 1 : 0

  name              = "${var.name}-notices"
  display_name      = "msk-kraft ${var.name}"
  kms_master_key_id = local.kms_key_arn
  tags              = local.tags
}

resource "aws_sns_topic_policy" "this" {
  count = length(aws_sns_topic.this)

  arn = aws_sns_topic.this[0].arn
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "AlarmsOfThisAccount"
        Effect    = "Allow"
        Principal = { Service = "cloudwatch.amazonaws.com" }
        Action    = "sns:Publish"
        Resource  = local.topic_arn
        Condition = { StringEquals = { "aws:SourceAccount" = local.account } }
      },
      {
        # EventBridge says neither account nor rule here: a condition would never hold
        # (https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-use-resource-based.html#eb-sns-permissions).
        Sid       = "NoticesOfExecutions"
        Effect    = "Allow"
        Principal = { Service = "events.amazonaws.com" }
        Action    = "sns:Publish"
        Resource  = local.topic_arn
      },
      {
        Sid       = "OnlyOverTls"
        Effect    = "Deny"
        Principal = "*"
        Action    = "sns:Publish"
        Resource  = local.topic_arn
        Condition = { Bool = { "aws:SecureTransport" = "false" } }
      },
    ]
  })
}

resource "aws_sns_topic_subscription" "emails" {
  for_each = toset(var.create ? var.notification_emails : [])

  topic_arn = aws_sns_topic.this[0].arn
  protocol  = "email"
  endpoint  = each.value
}

resource "aws_cloudwatch_dashboard" "this" {
  count = var.create && var.create_dashboard ? 1 : 0

  # Those of all regions of an account share one set of names.
  dashboard_name = "${var.name}-${local.region}"
  dashboard_body = jsonencode({ widgets = [for index, graph in local.description.dashboard : {
    type   = "metric"
    x      = (index % 2) * 12
    y      = floor(index / 2) * 6
    width  = 12
    height = 6
    properties = {
      title  = graph.title
      region = local.region
      period = 60
      metrics = concat(
        [for line in setproduct(graph.metrics, try(local.whose[graph.of], [])) : concat([graph.namespace, line[0][0]], line[1], [{ stat = line[0][1] }])],
        [for line in setproduct(graph.metrics, graph.of == "clusters" ? local.cluster_names : []) : [{
          expression = "SEARCH('{\"${graph.namespace}\",\"Broker ID\",\"Cluster Name\"} MetricName=\"${line[0][0]}\" \"Cluster Name\"=\"${line[1]}\"', '${line[0][1]}', 60)"
        }]]
      )
    }
  }] })
}

resource "aws_cloudwatch_query_definition" "this" {
  for_each = { for query in local.description.queries : query.name => query if var.create && var.create_log_queries }

  name            = "${var.name}/${each.key}"
  query_string    = each.value.query
  log_group_names = [for group in aws_cloudwatch_log_group.functions : group.name]
}
