# Functions, their versions, and what the state machine calls.

mock_provider "aws" {
  source          = "./tests/mocks"
  override_during = plan
}

override_resource {
  target          = aws_lambda_function.this["gate"]
  override_during = plan
  values          = { qualified_arn = "arn:aws:lambda:eu-west-1:123456789012:function:orders-gate:7", version = "7" }
}

override_resource {
  target          = aws_lambda_function.this["seed-partition"]
  override_during = plan
  values          = { qualified_arn = "arn:aws:lambda:eu-west-1:123456789012:function:orders-seed-partition:12", version = "12" }
}

variables {
  name = "orders"
  source_cluster = {
    cluster_arns = ["arn:aws:kafka:eu-west-1:123456789012:cluster/a/1"]
    auth         = "plaintext"
  }
  target_cluster = {
    cluster_arns = ["arn:aws:kafka:eu-west-1:123456789012:cluster/b/2"]
    auth         = "iam"
  }
}

run "functions" {
  command = plan

  assert {
    condition     = toset(keys(aws_lambda_function.this)) == toset([for function in local.description.functions : function.name])
    error_message = "there is a function for each of the description"
  }

  assert {
    condition = alltrue([for function in local.description.functions : alltrue([
      aws_lambda_function.this[function.name].function_name == "orders-${function.name}",
      aws_lambda_function.this[function.name].runtime == "provided.al2023",
      aws_lambda_function.this[function.name].handler == "bootstrap",
      aws_lambda_function.this[function.name].architectures == tolist(["arm64"]),
      aws_lambda_function.this[function.name].memory_size == function.memory_mb,
      aws_lambda_function.this[function.name].timeout == function.timeout_s,
      aws_lambda_function.this[function.name].ephemeral_storage[0].size == function.ephemeral_mb,
      aws_lambda_function.this[function.name].publish,
      aws_lambda_function.this[function.name].source_code_hash != null,
    ])])
    error_message = "functions are what the description says"
  }

  assert {
    condition     = alltrue([for function in aws_lambda_function.this : !strcontains(jsonencode(function.environment), "{table}") && function.environment[0].variables.MSK_KRAFT_TABLE == "orders-journal"])
    error_message = "functions know their table"
  }

  assert {
    condition     = alltrue([for alias in aws_lambda_alias.live : alias.name == local.description.qualifier]) && aws_lambda_alias.live["gate"].function_version == "7"
    error_message = "the alias points to the version"
  }

  assert {
    condition     = alltrue([for name, group in aws_cloudwatch_log_group.functions : group.name == "/aws/lambda/orders-${name}" && group.retention_in_days == 90 && group.kms_key_id != null])
    error_message = "each function has a log group with retention and key"
  }
}

run "state_machine" {
  command = plan

  assert {
    condition     = jsondecode(aws_sfn_state_machine.this[0].definition).States.Enter.Parameters.FunctionName == "arn:aws:lambda:eu-west-1:123456789012:function:orders-gate:7"
    error_message = "the definition calls the numbered version of gate"
  }

  assert {
    condition     = strcontains(aws_sfn_state_machine.this[0].definition, "function:orders-seed-partition:12") && !strcontains(aws_sfn_state_machine.this[0].definition, "$${")
    error_message = "the definition has no placeholder left"
  }

  assert {
    condition     = aws_sfn_state_machine.this[0].logging_configuration[0].level == "ALL" && !aws_sfn_state_machine.this[0].logging_configuration[0].include_execution_data
    error_message = "everything is logged but data, which holds task tokens"
  }

  assert {
    condition     = aws_sfn_state_machine.this[0].tracing_configuration[0].enabled && aws_sfn_state_machine.this[0].type == "STANDARD"
    error_message = "executions are traced"
  }

  assert {
    condition     = startswith(aws_cloudwatch_log_group.state_machine[0].name, "/aws/vendedlogs/states/")
    error_message = "the log group is one that the resource policy of logs covers"
  }
}

run "parameter" {
  command = plan

  assert {
    condition = aws_ssm_parameter.deployment[0].name == "/msk-kraft/orders" && jsondecode(aws_ssm_parameter.deployment[0].value) == {
      schema            = 1
      name              = "orders"
      version           = "unknown"
      region            = "eu-west-1"
      account           = "123456789012"
      state_machine_arn = "arn:aws:states:eu-west-1:123456789012:stateMachine:orders"
      table             = "orders-journal"
      function_prefix   = "orders-"
      qualifier         = "live"
      backup_bucket     = "orders-backup-123456789012-eu-west-1"
      evidence_bucket   = "orders-evidence-123456789012-eu-west-1"
      acknowledge_url   = null
    }
    error_message = "the CLI finds everything by the parameter"
  }
}

run "packages_in_s3" {
  command = plan

  variables {
    architecture      = "x86_64"
    packages_manifest = "./tests/manifest.json"
    packages_s3 = {
      bucket = "releases"
      prefix = "1.2.3/"
      keys   = { gate = "special/gate.zip" }
      hashes = { gate = "aGFzaA==" }
    }
  }

  assert {
    condition     = aws_lambda_function.this["cutover"].s3_key == "1.2.3/cutover.zip" && aws_lambda_function.this["gate"].s3_key == "special/gate.zip" && aws_lambda_function.this["gate"].filename == null
    error_message = "packages come from the bucket"
  }

  assert {
    condition     = aws_lambda_function.this["gate"].source_code_hash == "aGFzaA==" && aws_lambda_function.this["gate"].architectures == tolist(["x86_64"])
    error_message = "hash and architecture are the given ones"
  }

  assert {
    condition     = jsondecode(aws_ssm_parameter.deployment[0].value).version == "1.2.3"
    error_message = "the deployment does not know its version"
  }

  assert {
    condition     = jsondecode(aws_lambda_function.this["evidence"].environment[0].variables.MSK_KRAFT_PACKAGE) == { commit = "abc", functions = { gate = "0123" }, version = "1.2.3" }
    error_message = "the evidence does not know the packages"
  }
}

run "packages_of_another_architecture" {
  command = plan

  variables {
    packages_manifest = "./tests/manifest.json"
  }

  expect_failures = [aws_lambda_function.this]
}

run "acknowledge_url" {
  command = plan

  variables {
    webhooks = {
      enabled         = true
      secret_arn      = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:key-AbCdEf"
      acknowledge_url = true
    }
  }

  assert {
    condition     = aws_lambda_function_url.acknowledge[0].qualifier == "live" && aws_lambda_function_url.acknowledge[0].authorization_type == "NONE"
    error_message = "the URL is that of the alias"
  }

  assert {
    condition     = aws_lambda_permission.acknowledge["AcknowledgeByUrl"].function_url_auth_type == "NONE" && aws_lambda_permission.acknowledge["AcknowledgeThroughUrl"].invoked_via_function_url
    error_message = "the function can be invoked by its URL alone"
  }
}
