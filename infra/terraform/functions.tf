# The functions, a version of each with every change, and one alias.

locals {
  packages_dir  = coalesce(var.packages_dir, "${path.module}/../../target/package/${var.architecture}")
  from_s3       = var.packages_s3 != null
  manifest_file = coalesce(var.packages_manifest, "${local.packages_dir}/manifest.json")
  # Packages that were put together by hand have none.
  manifest = jsondecode(fileexists(local.manifest_file) ? file(local.manifest_file) : "{}")

  package_version = try(local.manifest.version, "unknown")
  # What the evidence says of them.
  package = jsonencode({ for key, value in {
    commit    = try(local.manifest.commit, null)
    functions = { for name, function in try(local.manifest.functions, {}) : name => function.sha256 }
    version   = local.package_version
  } : key => value if value != null })

  environments = { for name, function in local.functions : name => merge({
    for key, value in function.environment : key => replace(replace(replace(value, "{name}", var.name), "{table}", local.table), "{package}", local.package)
  }, var.environment) }
}

resource "aws_lambda_function" "this" {
  for_each = local.functions

  function_name = local.function_names[each.key]
  description   = each.value.description
  role          = local.role_arns[each.key]
  runtime       = "provided.al2023"
  handler       = "bootstrap"
  architectures = [var.architecture]
  memory_size   = each.value.memory_mb
  timeout       = each.value.timeout_s
  publish       = true

  filename         = local.from_s3 ? null : "${local.packages_dir}/${each.key}.zip"
  s3_bucket        = local.from_s3 ? var.packages_s3.bucket : null
  s3_key           = local.from_s3 ? lookup(var.packages_s3.keys, each.key, "${var.packages_s3.prefix}${each.key}.zip") : null
  source_code_hash = local.from_s3 ? lookup(var.packages_s3.hashes, each.key, null) : filebase64sha256("${local.packages_dir}/${each.key}.zip")

  ephemeral_storage {
    size = each.value.ephemeral_mb
  }

  environment {
    variables = local.environments[each.key]
  }

  dynamic "vpc_config" {
    for_each = local.in_vpc[each.key] ? [1] : []
    content {
      subnet_ids         = var.vpc_subnet_ids
      security_group_ids = concat(aws_security_group.functions[*].id, var.vpc_security_group_ids)
    }
  }

  tags = local.tags

  lifecycle {
    precondition {
      condition     = try(local.manifest.architecture, var.architecture) == var.architecture
      error_message = "The packages are for ${try(local.manifest.architecture, "")}: say so with architecture, or build them for ${var.architecture}."
    }
  }

  # Lambda would make the log group itself, without retention; and it looks at the role before it joins the VPC.
  depends_on = [aws_cloudwatch_log_group.functions, aws_iam_role_policy.this]
}

resource "aws_lambda_alias" "live" {
  for_each = local.functions

  name             = local.description.qualifier
  description      = "What CLI and webhooks call"
  function_name    = aws_lambda_function.this[each.key].function_name
  function_version = aws_lambda_function.this[each.key].version
}

# Where webhooks acknowledge later. The function takes what is signed with the webhook's key, and nothing else.
resource "aws_lambda_function_url" "acknowledge" {
  count = var.create && var.webhooks.acknowledge_url ? 1 : 0

  function_name      = aws_lambda_function.this["gate"].function_name
  qualifier          = aws_lambda_alias.live["gate"].name
  authorization_type = "NONE"
}

# A URL needs both permissions (https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html).
resource "aws_lambda_permission" "acknowledge" {
  for_each = { for sid, right in {
    AcknowledgeByUrl      = { action = "lambda:InvokeFunctionUrl", auth_type = "NONE", by_url = null }
    AcknowledgeThroughUrl = { action = "lambda:InvokeFunction", auth_type = null, by_url = true }
  } : sid => right if length(aws_lambda_function_url.acknowledge) > 0 }

  statement_id             = each.key
  action                   = each.value.action
  function_name            = aws_lambda_function.this["gate"].function_name
  qualifier                = aws_lambda_alias.live["gate"].name
  principal                = "*"
  function_url_auth_type   = each.value.auth_type
  invoked_via_function_url = each.value.by_url
}
