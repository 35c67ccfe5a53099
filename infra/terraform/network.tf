# How functions in the VPC get to the brokers and to AWS, and to nothing else.

locals {
  create_security_group = var.create && var.vpc_id != null && var.create_security_group
  create_endpoints      = var.create && var.create_vpc_endpoints

  # Every way to a broker: group or range, and port.
  broker_ports = { for name, side in local.sides : name => length(side.ports) > 0 ? side.ports : local.description.broker_ports[side.auth] }
  broker_ways = { for way in distinct(flatten([for name, side in local.sides : [for port in local.broker_ports[name] : concat(
    [for group in side.security_group_ids : { group = group, cidr = null, port = port }],
    [for cidr in side.cidrs : { group = null, cidr = cidr, port = port }]
  )]])) : "${coalesce(way.group, way.cidr)}:${way.port}" => way if local.create_security_group }

  https_cidrs = toset(local.create_security_group ? coalesce(var.vpc_https_egress_cidrs, var.create_vpc_endpoints && !var.webhooks.enabled ? [] : ["0.0.0.0/0"]) : [])

  # What functions in the VPC call themselves. Keys are used on their behalf, under a condition.
  called = toset(flatten([for name, in_vpc in local.in_vpc : [
    for statement in local.policies[name].Statement : [for action in statement.Action : split(":", action)[0]]
    if !can(statement.Condition)
  ] if in_vpc]))
  gateways   = local.create_endpoints ? setintersection(local.called, ["dynamodb", "s3"]) : toset([])
  interfaces = local.create_endpoints ? setintersection(local.called, ["events", "kafka", "kms", "secretsmanager", "states", "sts"]) : toset([])
}

resource "aws_security_group" "functions" {
  count = local.create_security_group ? 1 : 0

  name        = "${var.name}-functions"
  description = "msk-kraft ${var.name}: functions, out to brokers and HTTPS, nothing in"
  vpc_id      = var.vpc_id
  tags        = merge(local.tags, { Name = "${var.name}-functions" })
}

resource "aws_vpc_security_group_egress_rule" "brokers" {
  for_each = local.broker_ways

  security_group_id            = aws_security_group.functions[0].id
  description                  = "Brokers"
  ip_protocol                  = "tcp"
  from_port                    = each.value.port
  to_port                      = each.value.port
  referenced_security_group_id = each.value.group
  cidr_ipv4                    = each.value.cidr
  tags                         = local.tags
}

resource "aws_vpc_security_group_ingress_rule" "brokers" {
  for_each = { for key, way in local.broker_ways : key => way if way.group != null && var.create_broker_ingress_rules }

  security_group_id            = each.value.group
  description                  = "msk-kraft ${var.name}"
  ip_protocol                  = "tcp"
  from_port                    = each.value.port
  to_port                      = each.value.port
  referenced_security_group_id = aws_security_group.functions[0].id
  tags                         = local.tags
}

resource "aws_vpc_security_group_egress_rule" "https" {
  for_each = local.https_cidrs

  security_group_id = aws_security_group.functions[0].id
  description       = "AWS and webhooks"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  cidr_ipv4         = each.value
  tags              = local.tags
}

resource "aws_vpc_endpoint" "gateway" {
  for_each = local.gateways

  vpc_id            = var.vpc_id
  service_name      = "com.amazonaws.${local.region}.${each.key}"
  vpc_endpoint_type = "Gateway"
  route_table_ids   = var.vpc_route_table_ids
  tags              = merge(local.tags, { Name = "${var.name}-${each.key}" })
}

resource "aws_vpc_security_group_egress_rule" "gateways" {
  for_each = local.create_security_group ? local.gateways : toset([])

  security_group_id = aws_security_group.functions[0].id
  description       = "AWS: ${each.key}"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  prefix_list_id    = aws_vpc_endpoint.gateway[each.key].prefix_list_id
  tags              = local.tags
}

resource "aws_security_group" "endpoints" {
  count = local.create_endpoints ? 1 : 0

  name        = "${var.name}-endpoints"
  description = "msk-kraft ${var.name}: endpoints of AWS services, in from the functions"
  vpc_id      = var.vpc_id
  tags        = merge(local.tags, { Name = "${var.name}-endpoints" })
}

resource "aws_vpc_endpoint" "interface" {
  for_each = local.interfaces

  vpc_id              = var.vpc_id
  service_name        = "com.amazonaws.${local.region}.${each.key}"
  vpc_endpoint_type   = "Interface"
  subnet_ids          = var.vpc_subnet_ids
  security_group_ids  = aws_security_group.endpoints[*].id
  private_dns_enabled = true
  tags                = merge(local.tags, { Name = "${var.name}-${each.key}" })
}

resource "aws_vpc_security_group_ingress_rule" "endpoints" {
  for_each = local.create_endpoints ? local.functions_groups : {}

  security_group_id            = aws_security_group.endpoints[0].id
  description                  = "Functions"
  ip_protocol                  = "tcp"
  from_port                    = 443
  to_port                      = 443
  referenced_security_group_id = each.value
  tags                         = local.tags
}

resource "aws_vpc_security_group_egress_rule" "endpoints" {
  count = local.create_endpoints && local.create_security_group ? 1 : 0

  security_group_id            = aws_security_group.functions[0].id
  description                  = "Endpoints of AWS services"
  ip_protocol                  = "tcp"
  from_port                    = 443
  to_port                      = 443
  referenced_security_group_id = aws_security_group.endpoints[0].id
  tags                         = local.tags
}

locals {
  # Keys are known when a plan is made, ids may not be.
  functions_groups = merge(
    { for index, group in aws_security_group.functions : "created" => group.id },
    { for index, group in var.vpc_security_group_ids : "given-${index}" => group }
  )
}
