# Inputs of the network.

variable "vpc_id" {
  description = "Existing VPC that the functions which talk to brokers join. Without it no function is in a VPC."
  type        = string
  default     = null
}

variable "vpc_subnet_ids" {
  description = "Existing private subnets of vpc_id, in two zones or more."
  type        = list(string)
  default     = []

  validation {
    condition     = (var.vpc_id == null && length(var.vpc_subnet_ids) == 0) || (var.vpc_id != null && length(var.vpc_subnet_ids) >= 2)
    error_message = "vpc_subnet_ids needs two private subnets or more together with vpc_id, and none without, so that the loss of a zone does not stop a migration."
  }
}

variable "vpc_security_group_ids" {
  description = "Existing security groups for the functions, beside the one that is created."
  type        = list(string)
  default     = []

  validation {
    condition     = var.vpc_id == null || var.create_security_group || length(var.vpc_security_group_ids) > 0
    error_message = "vpc_security_group_ids needs a group when create_security_group is false."
  }
}

variable "create_security_group" {
  description = "Whether the functions get a security group that lets out to the brokers' ports and to HTTPS, and nothing in."
  type        = bool
  default     = true

  validation {
    condition = var.vpc_id == null || !var.create_security_group || alltrue([
      for side in [var.source_cluster, var.target_cluster] : length(concat(side.security_group_ids, side.cidrs)) > 0
    ])
    error_message = "source_cluster and target_cluster each need security_group_ids (of brokers in this VPC or a peered one of this region) or cidrs, to let functions out to nothing but the brokers."
  }
}

variable "create_broker_ingress_rules" {
  description = "Whether the brokers' security groups get rules that let the functions in. Only for groups of this account; false when somebody else keeps them."
  type        = bool
  default     = true
}

variable "create_vpc_endpoints" {
  description = "Whether gateway endpoints (S3, DynamoDB) and the interface endpoints that the functions need are created in vpc_id."
  type        = bool
  default     = false

  validation {
    condition     = !var.create_vpc_endpoints || (var.vpc_id != null && length(var.vpc_route_table_ids) > 0)
    error_message = "create_vpc_endpoints needs vpc_id and vpc_route_table_ids, those of the subnets, for the gateway endpoints."
  }
}

variable "vpc_route_table_ids" {
  description = "Route tables of vpc_subnet_ids, for the gateway endpoints."
  type        = list(string)
  default     = []
}

variable "vpc_https_egress_cidrs" {
  description = "Where the functions may go with HTTPS beside endpoints that are created here. By default nowhere with create_vpc_endpoints unless webhooks are called, else everywhere."
  type        = list(string)
  default     = null
}
