# The state machine from the one definition. It calls numbered versions, so executions end on those that they began with.

locals {
  definition = var.create ? templatefile("${path.module}/../../statemachine/migration.asl.json", {
    for variable, name in local.description.state_machine.substitutions : variable => aws_lambda_function.this[name].qualified_arn
  }) : null
}

resource "aws_sfn_state_machine" "this" {
  count = var.create ? 1 : 0

  name       = var.name
  type       = "STANDARD"
  role_arn   = local.role_arns["state-machine"]
  definition = local.definition

  logging_configuration {
    level = "ALL"
    # Data holds task tokens.
    include_execution_data = false
    log_destination        = "${aws_cloudwatch_log_group.state_machine[0].arn}:*"
  }

  tracing_configuration {
    enabled = true
  }

  tags = local.tags

  # Step Functions tries the role's rights on logs when it is created.
  depends_on = [aws_iam_role_policy.this]
}
