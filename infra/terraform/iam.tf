# One role per function with exactly the description's statements, and policies for those who operate and audit.

locals {
  in_vpc = { for name, function in local.functions : name => (
    var.vpc_id != null && (function.network == "brokers" || (function.network == "webhook" && local.gate_calls))
  ) }

  # By role: what the description says, and the symbols that mean something else in each role.
  described = merge(
    { for name, function in local.functions : name => {
      statements = function.statements
      symbols = merge(local.symbols, {
        "log-streams" = ["arn:${local.partition}:logs:${local.regional}:log-group:/aws/lambda/${local.function_names[name]}:*"]
        "network"     = local.in_vpc[name] ? ["*"] : []
      })
    } },
    { "state-machine" = { statements = local.description.state_machine.statements, symbols = local.symbols } },
    { for name, role in local.description.roles : name => { statements = role.statements, symbols = local.symbols } }
  )

  # A statement about nothing is left out.
  policies = { for role, described in local.described : role => {
    Version = "2012-10-17"
    Statement = [
      for statement in described.statements : { for key, value in {
        Sid       = statement.sid
        Effect    = "Allow"
        Action    = statement.actions
        Resource  = described.symbols[statement.resources]
        Condition = can(statement.condition) ? local.conditions[statement.condition] : null
      } : key => value if value != null } if length(described.symbols[statement.resources]) > 0
    ]
  } }

  services = merge(
    { for name in keys(local.functions) : name => "lambda.amazonaws.com" },
    { "state-machine" = "states.amazonaws.com" }
  )
  roles = { for name, service in local.services : name => service if var.create && var.create_roles }
  people = { for name, principals in { operator = var.operator_principal_arns, auditor = var.auditor_principal_arns } :
    name => principals if var.create && length(principals) > 0
  }
  people_policies = toset([for name, wanted in { operator = var.create_operator_policy, auditor = var.create_auditor_policy } : name if var.create && wanted])

  role_arns = merge(
    var.function_role_arns,
    { "state-machine" = var.state_machine_role_arn },
    { for name, role in aws_iam_role.this : name => role.arn }
  )
}

resource "aws_iam_role" "this" {
  for_each = local.roles

  name                 = "${var.name}-${local.region}-${each.key}"
  description          = "msk-kraft ${var.name}: ${each.key}"
  path                 = var.role_path
  permissions_boundary = var.role_permissions_boundary
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{ for key, value in {
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = each.value }
      Condition = each.key == "state-machine" ? { StringEquals = { "aws:SourceAccount" = local.account } } : null
    } : key => value if value != null }]
  })
  tags = local.tags
}

resource "aws_iam_role_policy" "this" {
  for_each = local.roles

  name   = each.key
  role   = aws_iam_role.this[each.key].id
  policy = jsonencode(local.policies[each.key])

  lifecycle {
    precondition {
      condition     = length(jsonencode(local.policies[each.key])) <= 10240
      error_message = "The policy of ${each.key} is longer than the 10240 characters that IAM takes: deploy once per pair of clusters."
    }
  }
}

resource "aws_iam_policy" "people" {
  for_each = local.people_policies

  name        = "${var.name}-${local.region}-${each.key}"
  description = "msk-kraft ${var.name}: what its ${each.key} may do"
  path        = var.role_path
  policy      = jsonencode(local.policies[each.key])
  tags        = local.tags

  lifecycle {
    precondition {
      condition     = length(jsonencode(local.policies[each.key])) <= 6144
      error_message = "The ${each.key}'s policy is longer than the 6144 characters that IAM takes: deploy once per pair of clusters."
    }
  }
}

resource "aws_iam_role" "people" {
  for_each = local.people

  name                 = "${var.name}-${local.region}-${each.key}"
  description          = "msk-kraft ${var.name}: ${each.key}"
  path                 = var.role_path
  permissions_boundary = var.role_permissions_boundary
  assume_role_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Action = "sts:AssumeRole", Principal = { AWS = each.value } }]
  })
  tags = local.tags
}

resource "aws_iam_role_policy_attachment" "people" {
  for_each = local.people

  role       = aws_iam_role.people[each.key].name
  policy_arn = aws_iam_policy.people[each.key].arn
}
