# Inputs of logs, alarms, notices and the dashboard.

variable "cloudwatch_logs_retention_in_days" {
  description = "Days that logs are kept."
  type        = number
  default     = 90

  validation {
    condition     = contains([7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.cloudwatch_logs_retention_in_days)
    error_message = "cloudwatch_logs_retention_in_days has to be a number that CloudWatch Logs takes, and at least 7 so that logs outlive a migration."
  }
}

variable "cloudwatch_logs_kms_key_id" {
  description = "ARN of the KMS key of the logs; the deployment's key if unset."
  type        = string
  default     = null
}

variable "create_alarms" {
  description = "Whether the alarms are created."
  type        = bool
  default     = true
}

variable "create_sns_topic" {
  description = "Whether a topic for alarms and notices of executions is created."
  type        = bool
  default     = true

  validation {
    condition     = !(var.create_sns_topic && var.sns_topic_arn != null)
    error_message = "create_sns_topic has to be false when sns_topic_arn is given."
  }
}

variable "sns_topic_arn" {
  description = "Existing topic instead of a new one; its policy has to let cloudwatch.amazonaws.com and events.amazonaws.com publish."
  type        = string
  default     = null
}

variable "notification_emails" {
  description = "Addresses to subscribe to the new topic; each has to confirm."
  type        = list(string)
  default     = []

  validation {
    condition     = length(var.notification_emails) == 0 || var.create_sns_topic
    error_message = "notification_emails are for the topic that is created here: subscribe them to sns_topic_arn yourself."
  }
}

variable "create_event_rules" {
  description = "Whether the topic is told when executions begin and end, when migrations go on, and when they wait for somebody."
  type        = bool
  default     = true
}

variable "create_dashboard" {
  description = "Whether the dashboard is created."
  type        = bool
  default     = true
}

variable "create_log_queries" {
  description = "Whether the saved queries of CloudWatch Logs Insights are created."
  type        = bool
  default     = true
}

variable "create_ssm_parameter" {
  description = "Whether the parameter is created by which `msk-kraft --deployment NAME` finds everything."
  type        = bool
  default     = true
}
