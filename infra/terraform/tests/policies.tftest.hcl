# Each role has exactly the statements of the description, about this deployment's resources and nothing else.

mock_provider "aws" {
  source          = "./tests/mocks"
  override_during = plan
}

variables {
  name = "orders"
  source_cluster = {
    cluster_arns       = ["arn:aws:kafka:eu-west-1:123456789012:cluster/a/1"]
    auth               = "scram-sha-512"
    secret_arns        = ["arn:aws:secretsmanager:eu-west-1:123456789012:secret:AmazonMSK_a-AbCdEf"]
    security_group_ids = ["sg-source"]
  }
  target_cluster = {
    cluster_arns                 = ["arn:aws:kafka:eu-west-1:210987654321:cluster/b/2"]
    auth                         = "iam"
    bootstrap_servers_configured = true
    cidrs                        = ["10.1.0.0/16"]
  }
}

run "statements" {
  command = plan

  variables {
    vpc_id          = "vpc-1"
    vpc_subnet_ids  = ["subnet-1", "subnet-2"]
    write_fence     = true
    signing_key_arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:evidence-AbCdEf"
    webhooks = {
      enabled         = true
      secret_arn      = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:webhook-AbCdEf"
      secret_key_arns = ["arn:aws:kms:eu-west-1:123456789012:key/webhook"]
    }
  }

  # With everything in use, only what is about IAM on the source and about roles of other accounts is left out.
  assert {
    condition = alltrue([for role, described in merge(
      { for function in local.description.functions : function.name => function.statements },
      { for name, role in local.description.roles : name => role.statements },
      { "state-machine" = local.description.state_machine.statements },
      ) : [for statement in jsondecode(output.policies[role]).Statement : { sid = statement.Sid, actions = statement.Action }]
      == [for statement in described : { sid = statement.sid, actions = statement.actions } if !can(regex("^(source-kafka-|cluster-roles)", statement.resources))]
    ])
    error_message = "a role's statements are not those of the description"
  }

  assert {
    condition     = alltrue([for name, policy in aws_iam_role_policy.this : policy.policy == output.policies[name]]) && alltrue([for name, policy in aws_iam_policy.people : policy.policy == output.policies[name]])
    error_message = "a role does not have its policy"
  }

  assert {
    condition     = toset(keys(aws_iam_role_policy.this)) == toset(concat([for function in local.description.functions : function.name], ["state-machine"])) && toset(keys(aws_iam_policy.people)) == toset(["auditor", "operator"])
    error_message = "there is not one role for each function and for the state machine, and a policy for each kind of person"
  }

  assert {
    condition     = alltrue(flatten([for policy in output.policies : [for statement in jsondecode(policy).Statement : [for action in statement.Action : !strcontains(action, "*")]]]))
    error_message = "an action is a wildcard"
  }

  assert {
    condition     = alltrue(flatten([for policy in output.policies : [for statement in jsondecode(policy).Statement : statement.Effect == "Allow" && length(statement.Resource) > 0 && !can(regex("[{}]", jsonencode(statement.Resource)))]]))
    error_message = "a statement is about nothing, or about a placeholder"
  }

  # What is about everything is what knows no resources.
  assert {
    condition = toset(flatten([for policy in output.policies : [for statement in jsondecode(policy).Statement : [
      for action in statement.Action : split(":", action)[0]] if contains(statement.Resource, "*")
    ]])) == toset(["ec2", "kafka", "logs", "xray"])
    error_message = "a statement is about everything that need not be"
  }

  # Some by hand, so that the symbols are not only checked against themselves.
  assert {
    condition = jsondecode(output.policies["precheck"]).Statement[0] == {
      Sid      = "PrecheckWriteItsLog"
      Effect   = "Allow"
      Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
      Resource = ["arn:aws:logs:eu-west-1:123456789012:log-group:/aws/lambda/orders-precheck:*"]
    }
    error_message = "precheck writes another log"
  }

  assert {
    condition = alltrue([for sid, resources in {
      GateWriteItsLog                  = ["arn:aws:logs:eu-west-1:123456789012:log-group:/aws/lambda/orders-gate:*"]
      GateJoinTheNetwork               = ["*"]
      GateReadTheJournal               = ["arn:aws:dynamodb:eu-west-1:123456789012:table/orders-journal"]
      GateReadTheJournalsEvents        = ["arn:aws:dynamodb:eu-west-1:123456789012:table/orders-journal"]
      GateWriteTheJournal              = ["arn:aws:dynamodb:eu-west-1:123456789012:table/orders-journal"]
      GateReachTheBackupBucket         = ["arn:aws:s3:::orders-backup-123456789012-eu-west-1"]
      GateReadTheBackup                = ["arn:aws:s3:::orders-backup-123456789012-eu-west-1/*"]
      GateDecryptTheBackup             = ["arn:aws:kms:eu-west-1:123456789012:key/created"]
      GateWriteTheEvidence             = ["arn:aws:s3:::orders-evidence-123456789012-eu-west-1/*"]
      GateFindTheBrokers               = ["*"]
      GateReadTheSecretsOfTheSource    = ["arn:aws:secretsmanager:eu-west-1:123456789012:secret:msk-kraft/*", "arn:aws:secretsmanager:eu-west-1:123456789012:secret:AmazonMSK_a-AbCdEf"]
      GateDecryptTheSecretsOfTheSource = ["arn:aws:kms:eu-west-1:123456789012:key/*"]
      GateReadTheWebhook               = ["arn:aws:secretsmanager:eu-west-1:123456789012:secret:msk-kraft/*/webhook-??????", "arn:aws:secretsmanager:eu-west-1:123456789012:secret:msk-kraft/*/client-switch-webhook-??????"]
      GateReadTheWebhookKey            = ["arn:aws:secretsmanager:eu-west-1:123456789012:secret:webhook-AbCdEf"]
      GateDecryptTheWebhookKey         = ["arn:aws:kms:eu-west-1:123456789012:key/webhook"]
      GateAnswerTheGates               = ["arn:aws:states:eu-west-1:123456789012:stateMachine:orders"]
      GateAnnounceMigrations           = ["arn:aws:events:eu-west-1:123456789012:event-bus/default"]
      GateForgetTheSecretsOfARun       = ["arn:aws:secretsmanager:eu-west-1:123456789012:secret:msk-kraft/*"]
    } : one([for statement in jsondecode(output.policies["gate"]).Statement : statement.Resource if statement.Sid == sid]) == resources])
    error_message = "gate reaches something else"
  }

  assert {
    condition = { for statement in jsondecode(output.policies["gate"]).Statement : statement.Sid => statement.Condition if can(statement.Condition) } == {
      GateDecryptTheBackup = { StringEquals = { "kms:ViaService" = ["s3.eu-west-1.amazonaws.com"] } }
      GateDecryptTheSecretsOfTheSource = { StringEquals = {
        "kms:EncryptionContext:SecretARN" = ["arn:aws:secretsmanager:eu-west-1:123456789012:secret:AmazonMSK_a-AbCdEf"]
        "kms:ViaService"                  = ["secretsmanager.eu-west-1.amazonaws.com"]
      } }
      GateDecryptTheWebhookKey = { StringEquals = {
        "kms:EncryptionContext:SecretARN" = ["arn:aws:secretsmanager:eu-west-1:123456789012:secret:webhook-AbCdEf"]
        "kms:ViaService"                  = ["secretsmanager.eu-west-1.amazonaws.com"]
      } }
    }
    error_message = "gate uses keys for something else"
  }

  assert {
    condition = alltrue([for sid, resources in {
      StateMachineReadTheManifest    = ["arn:aws:s3:::orders-backup-123456789012-eu-west-1/*/manifests/batches.json"]
      StateMachineStartItsMaps       = ["arn:aws:states:eu-west-1:123456789012:stateMachine:orders"]
      StateMachineWatchItsMaps       = ["arn:aws:states:eu-west-1:123456789012:execution:orders/*"]
      StateMachineLogItsExecutions   = ["*"]
      StateMachineTraceItsExecutions = ["*"]
      StateMachineDecryptTheBackup   = ["arn:aws:kms:eu-west-1:123456789012:key/created"]
    } : one([for statement in jsondecode(output.policies["state-machine"]).Statement : statement.Resource if statement.Sid == sid]) == resources])
    error_message = "the state machine reaches something else"
  }

  assert {
    condition     = one([for statement in jsondecode(output.policies["cutover"]).Statement : statement.Resource if statement.Sid == "CutoverGroupsOfTheTarget"]) == ["arn:aws:kafka:eu-west-1:210987654321:group/b/2/*"]
    error_message = "groups of the target are named otherwise"
  }

  assert {
    condition     = one([for statement in jsondecode(output.policies["state-machine"]).Statement : statement.Resource if statement.Sid == "StateMachineInvokeTheFunctions"]) == [for function in sort([for function in local.description.functions : function.name]) : "arn:aws:lambda:eu-west-1:123456789012:function:orders-${function}:*"]
    error_message = "the state machine invokes something else than versions of the functions"
  }

  assert {
    condition     = alltrue([for arn in one([for statement in jsondecode(output.policies["operator"]).Statement : statement.Resource if statement.Sid == "OperatorAskTheFunctions"]) : endswith(arn, ":live")])
    error_message = "the operator invokes something else than the alias"
  }
}

run "a_cluster_of_another_account" {
  command = plan

  variables {
    target_cluster = {
      cluster_arns = ["arn:aws:kafka:eu-west-1:210987654321:cluster/b/2"]
      auth         = "scram-sha-512"
      secret_arns  = ["arn:aws:secretsmanager:eu-west-1:210987654321:secret:AmazonMSK_b-AbCdEf"]
      role_arn     = "arn:aws:iam::210987654321:role/migrations"
    }
    signing_key_arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:evidence-AbCdEf"
  }

  assert {
    condition     = alltrue([for name, policy in output.policies : !can(regex("210987654321:(cluster|topic|secret)", policy))])
    error_message = "functions ask themselves what the role is assumed for"
  }

  assert {
    condition     = one([for statement in jsondecode(output.policies["cutover"]).Statement : statement.Resource if statement.Action == ["sts:AssumeRole"]]) == ["arn:aws:iam::210987654321:role/migrations"]
    error_message = "the role is not assumed"
  }

  assert {
    condition = { for statement in jsondecode(output.policies["evidence"]).Statement : statement.Sid => statement.Resource if strcontains(statement.Sid, "SigningKey") } == {
      EvidenceReadTheSigningKey    = ["arn:aws:secretsmanager:eu-west-1:123456789012:secret:evidence-AbCdEf"]
      EvidenceDecryptTheSigningKey = ["arn:aws:kms:eu-west-1:123456789012:key/*"]
    }
    error_message = "evidence can not sign"
  }
}

run "what_is_not_used_is_not_granted" {
  command = plan

  variables {
    source_cluster = {
      cluster_arns                 = ["arn:aws:kafka:eu-west-1:123456789012:cluster/a/1"]
      auth                         = "plaintext"
      bootstrap_servers_configured = true
    }
    evidence_object_lock = false
    create_kms_key       = false
  }

  assert {
    condition = alltrue([for policy in output.policies : !can(regex(
      "secretsmanager|kms:|kafka:GetBootstrapBrokers|ec2:|PutObjectRetention|OfTheSource", policy
    ))])
    error_message = "a right is granted that is not needed"
  }
}

run "roles" {
  command = plan

  variables {
    role_path                 = "/msk/"
    role_permissions_boundary = "arn:aws:iam::123456789012:policy/boundary"
    operator_principal_arns   = ["arn:aws:iam::123456789012:role/operators"]
  }

  assert {
    condition     = alltrue([for role in concat(values(aws_iam_role.this), values(aws_iam_role.people)) : role.permissions_boundary == "arn:aws:iam::123456789012:policy/boundary" && role.path == "/msk/"])
    error_message = "a role has no boundary"
  }

  assert {
    condition     = alltrue([for name, role in aws_iam_role.this : one(jsondecode(role.assume_role_policy).Statement).Principal.Service == (name == "state-machine" ? "states.amazonaws.com" : "lambda.amazonaws.com")])
    error_message = "a role is assumed by somebody else"
  }

  assert {
    condition     = one(jsondecode(aws_iam_role.people["operator"].assume_role_policy).Statement).Principal.AWS == ["arn:aws:iam::123456789012:role/operators"] && length(aws_iam_role.people) == 1
    error_message = "the operator's role is assumed by somebody else"
  }
}
