# As deployment.yaml: the least, with a key that is created.

terraform {
  required_providers {
    aws = { source = "hashicorp/aws" }
  }
}

provider "aws" {
  region = "eu-west-1"
}

module "msk_kraft" {
  source = "../../../terraform"

  name = "orders"

  source_cluster = {
    cluster_arns       = ["arn:aws:kafka:eu-west-1:123456789012:cluster/orders/0a1b2c3d-0000-4000-8000-000000000001-3"]
    auth               = "iam"
    security_group_ids = ["sg-0aaaaaaaaaaaaaaa1"]
  }
  target_cluster = {
    cluster_arns       = ["arn:aws:kafka:eu-west-1:123456789012:cluster/orders-kraft/0a1b2c3d-0000-4000-8000-000000000002-3"]
    auth               = "mtls"
    security_group_ids = ["sg-0aaaaaaaaaaaaaaa2"]
  }

  vpc_id         = "vpc-0aaaaaaaaaaaaaaaa"
  vpc_subnet_ids = ["subnet-0aaaaaaaaaaaaaaa1", "subnet-0aaaaaaaaaaaaaaa2"]
}
