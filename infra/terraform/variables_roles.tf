# Inputs of roles and of the policies of people.

variable "create_roles" {
  description = "Whether the roles of functions and state machine are created."
  type        = bool
  default     = true

  validation {
    condition     = var.create_roles || var.state_machine_role_arn != null
    error_message = "state_machine_role_arn and function_role_arns have to be given when create_roles is false."
  }
}

variable "function_role_arns" {
  description = "Existing roles by function, when create_roles is false. The output policies has what they need."
  type        = map(string)
  default     = {}
}

variable "state_machine_role_arn" {
  description = "Existing role of the state machine, when create_roles is false."
  type        = string
  default     = null
}

variable "role_path" {
  description = "Path of roles and policies."
  type        = string
  default     = "/"
}

variable "role_permissions_boundary" {
  description = "ARN of the permissions boundary of every role."
  type        = string
  default     = null
}

variable "create_operator_policy" {
  description = "Whether the policy of those who run migrations is created."
  type        = bool
  default     = true
}

variable "operator_principal_arns" {
  description = "Who may assume a role with the operator's policy; without any, no such role is created."
  type        = list(string)
  default     = []

  validation {
    condition     = length(var.operator_principal_arns) == 0 || var.create_operator_policy
    error_message = "operator_principal_arns needs create_operator_policy."
  }
}

variable "create_auditor_policy" {
  description = "Whether the policy of those who read journal and evidence is created."
  type        = bool
  default     = true
}

variable "auditor_principal_arns" {
  description = "Who may assume a role with the auditor's policy; without any, no such role is created."
  type        = list(string)
  default     = []

  validation {
    condition     = length(var.auditor_principal_arns) == 0 || var.create_auditor_policy
    error_message = "auditor_principal_arns needs create_auditor_policy."
  }
}
