# What everything else is made from: the description that all deployers share, and the names of this deployment.

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  description = jsondecode(file("${path.module}/../description.json"))
  functions   = { for function in local.description.functions : function.name => function if var.create }

  account   = data.aws_caller_identity.current.account_id
  partition = data.aws_partition.current.partition
  region    = data.aws_region.current.region
  regional  = "${local.region}:${local.account}"

  function_names    = { for name in keys(local.functions) : name => "${var.name}-${name}" }
  state_machine_arn = "arn:${local.partition}:states:${local.regional}:stateMachine:${var.name}"
  table             = coalesce(var.journal_table, "${var.name}-journal")
  backup_bucket     = coalesce(var.backup_bucket, "${var.name}-backup-${local.account}-${local.region}")
  evidence_bucket   = coalesce(var.evidence_bucket, "${var.name}-evidence-${local.account}-${local.region}")
  parameter         = replace(local.description.parameter, "{name}", var.name)

  # Alarms and graphs see the metrics of this region and account alone.
  cluster_names = toset([
    for arn in concat(var.source_cluster.cluster_arns, var.target_cluster.cluster_arns) : split("/", arn)[1]
    if join(":", slice(split(":", arn), 3, 5)) == local.regional
  ])

  tags = merge({ "msk-kraft:deployment" = var.name }, var.tags)
}

# Where the CLI finds it all.
resource "aws_ssm_parameter" "deployment" {
  count = var.create && var.create_ssm_parameter ? 1 : 0

  name        = local.parameter
  description = "Where msk-kraft --deployment ${var.name} finds its deployment"
  type        = "String"
  value = jsonencode({
    schema            = 1
    name              = var.name
    version           = local.package_version
    region            = local.region
    account           = local.account
    state_machine_arn = local.state_machine_arn
    table             = local.table
    function_prefix   = "${var.name}-"
    qualifier         = local.description.qualifier
    backup_bucket     = local.backup_bucket
    evidence_bucket   = local.evidence_bucket
    acknowledge_url   = one(aws_lambda_function_url.acknowledge[*].function_url)
  })
  tags = local.tags

  lifecycle {
    precondition {
      condition     = local.description.schema == 1
      error_message = "infra/description.json has schema ${local.description.schema}, and this module reads 1: take both from one release."
    }
  }
}
