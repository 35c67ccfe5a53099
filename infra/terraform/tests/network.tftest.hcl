# Functions in the VPC reach the brokers' ports and AWS, and nothing else.

mock_provider "aws" {
  source          = "./tests/mocks"
  override_during = plan
}

variables {
  vpc_id         = "vpc-1"
  vpc_subnet_ids = ["subnet-1", "subnet-2"]
  source_cluster = {
    cluster_arns       = ["arn:aws:kafka:eu-west-1:123456789012:cluster/a/1"]
    auth               = "plaintext"
    security_group_ids = ["sg-source"]
  }
  target_cluster = {
    cluster_arns = ["arn:aws:kafka:eu-west-1:123456789012:cluster/b/2"]
    auth         = "tls"
    cidrs        = ["10.1.0.0/16"]
  }
}

run "only_brokers" {
  command = plan

  assert {
    condition     = toset([for name, function in aws_lambda_function.this : name if length(function.vpc_config) > 0]) == toset(["precheck", "topology-copy", "seed-partition", "tail-batch", "cutover", "validate"])
    error_message = "the functions that talk to brokers are in the VPC, and no others"
  }

  assert {
    condition     = aws_lambda_function.this["cutover"].vpc_config[0].subnet_ids == toset(["subnet-1", "subnet-2"]) && aws_lambda_function.this["cutover"].vpc_config[0].security_group_ids == toset(["sg-0created"])
    error_message = "they are in the given subnets and in their own group"
  }

  assert {
    condition     = { for key, rule in aws_vpc_security_group_egress_rule.brokers : key => rule.to_port if rule.referenced_security_group_id == "sg-source" } == { "sg-source:9092" = 9092 }
    error_message = "they reach the source's brokers at the port of plaintext"
  }

  assert {
    condition     = { for key, rule in aws_vpc_security_group_egress_rule.brokers : key => rule.cidr_ipv4 if rule.referenced_security_group_id != "sg-source" } == { "10.1.0.0/16:9094" = "10.1.0.0/16" }
    error_message = "they reach the target's brokers at the port of tls"
  }

  assert {
    condition     = { for key, rule in aws_vpc_security_group_ingress_rule.brokers : rule.security_group_id => rule.referenced_security_group_id } == { "sg-source" = "sg-0created" }
    error_message = "the brokers' group lets them in"
  }

  assert {
    condition     = alltrue([for rule in aws_vpc_security_group_egress_rule.https : rule.from_port == 443 && rule.to_port == 443])
    error_message = "they reach AWS with HTTPS"
  }

  assert {
    condition     = length(aws_vpc_endpoint.gateway) + length(aws_vpc_endpoint.interface) == 0
    error_message = "endpoints are created that were not asked for"
  }
}

run "endpoints" {
  command = plan

  variables {
    create_vpc_endpoints        = true
    vpc_route_table_ids         = ["rtb-1"]
    create_broker_ingress_rules = false
  }

  assert {
    condition     = keys(aws_vpc_endpoint.gateway) == ["dynamodb", "s3"] && keys(aws_vpc_endpoint.interface) == ["kafka", "secretsmanager"]
    error_message = "there is an endpoint for each service that functions in the VPC call, and for no other"
  }

  assert {
    condition     = length(aws_vpc_security_group_egress_rule.https) == 0 && length(aws_vpc_security_group_egress_rule.gateways) == 2
    error_message = "functions reach more than the endpoints"
  }

  assert {
    condition     = length(aws_vpc_security_group_ingress_rule.brokers) == 0
    error_message = "the brokers' groups are changed"
  }
}

run "the_gate_calls" {
  command = plan

  variables {
    create_vpc_endpoints = true
    vpc_route_table_ids  = ["rtb-1"]
    webhooks             = { enabled = true }
  }

  assert {
    condition     = length(aws_lambda_function.this["gate"].vpc_config) == 1 && length(aws_lambda_function.this["evidence"].vpc_config) == 0
    error_message = "with webhooks gate is in the VPC too"
  }

  assert {
    condition     = keys(aws_vpc_endpoint.interface) == ["events", "kafka", "secretsmanager", "states"]
    error_message = "there is an endpoint for each service that functions in the VPC call, and for no other"
  }

  assert {
    condition     = [for rule in aws_vpc_security_group_egress_rule.https : rule.cidr_ipv4] == ["0.0.0.0/0"]
    error_message = "webhooks are reached"
  }
}

run "other_ports_and_groups" {
  command = plan

  variables {
    vpc_security_group_ids = ["sg-mine"]
    create_security_group  = false
  }

  assert {
    condition     = aws_lambda_function.this["cutover"].vpc_config[0].security_group_ids == toset(["sg-mine"]) && length(aws_security_group.functions) == 0
    error_message = "the given group is not used"
  }
}
