"""Reads a plan of the Terraform module."""

import json

from cdk import graphs, publishers
from common import UNKNOWN, named_policy, policy, without_nulls


class Plan:
    def __init__(self, file):
        with open(file) as text:
            changes = json.load(text)["resource_changes"]
        self.resources = [change for change in changes if change["mode"] == "managed"]

    def of(self, kind):
        return [known(it["change"]["after"], it["change"]["after_unknown"]) for it in self.resources if it["type"] == kind]

    def keyed(self, kind):
        """The same by the key of each in its resource."""
        return {
            it.get("index"): known(it["change"]["after"], it["change"]["after_unknown"]) for it in self.resources if it["type"] == kind
        }


def known(after, unknown):
    """Values, with those that are not known yet put in."""
    if unknown is True:
        return UNKNOWN
    if isinstance(unknown, dict):
        after = after or {}
        return {key: known(after.get(key), unknown.get(key)) for key in after.keys() | unknown.keys()}
    if isinstance(unknown, list) and unknown:
        return [known(inner, flag) for inner, flag in zip(after, unknown)]
    return after


def read(file):
    plan = Plan(file)
    return without_nulls({
        "functions": {it["function_name"]: function(it) for it in plan.of("aws_lambda_function")},
        "aliases": sorted((it["function_name"], it["name"]) for it in plan.of("aws_lambda_alias")),
        "urls": [[it["authorization_type"], it["qualifier"]] for it in plan.of("aws_lambda_function_url")],
        "url permissions": sorted(
            [it["action"], it["function_url_auth_type"], it["invoked_via_function_url"]] for it in plan.of("aws_lambda_permission") if it["principal"] == "*"
        ),
        "asynchronous": sorted(
            [it["qualifier"], it["maximum_event_age_in_seconds"], it["maximum_retry_attempts"]] for it in plan.of("aws_lambda_function_event_invoke_config")
        ),
        "roles": roles(plan),
        "policies": {it["name"]: named_policy(it["policy"]) for it in plan.of("aws_iam_policy")},
        "logs": {it["name"]: {"days": it["retention_in_days"], "key": it["kms_key_id"]} for it in plan.of("aws_cloudwatch_log_group")},
        "state machines": {it["name"]: state_machine(it) for it in plan.of("aws_sfn_state_machine")},
        "tables": {it["name"]: table(it) for it in plan.of("aws_dynamodb_table")},
        "buckets": {it["bucket"]: bucket(plan, it) for it in plan.of("aws_s3_bucket")},
        "bucket policies": bucket_policies(plan),
        "keys": [{"rotation": it["enable_key_rotation"], "policy": policy(it["policy"])} for it in plan.of("aws_kms_key")],
        "key aliases": [it["name"] for it in plan.of("aws_kms_alias")],
        "alarms": {it["alarm_name"]: alarm(it) for it in plan.of("aws_cloudwatch_metric_alarm")},
        "graphs": [graphs(it["dashboard_body"]) for it in plan.of("aws_cloudwatch_dashboard")],
        "queries": {it["name"]: [it["query_string"], sorted(it["log_group_names"])] for it in plan.of("aws_cloudwatch_query_definition")},
        "topics": {it["name"]: {"display": it["display_name"], "key": it["kms_master_key_id"]} for it in plan.of("aws_sns_topic")},
        "topic publishers": [publishers(json.loads(it["policy"])) for it in plan.of("aws_sns_topic_policy")],
        "subscriptions": sorted([it["protocol"], it["endpoint"]] for it in plan.of("aws_sns_topic_subscription")),
        "rules": rules(plan),
        "parameters": {it["name"]: UNKNOWN if it["value"] is UNKNOWN else json.loads(it["value"]) for it in plan.of("aws_ssm_parameter")},
        "egress": egress(plan),
        "broker ingress": sorted(
            [it["security_group_id"], it["from_port"], it["to_port"]]
            for it in plan.of("aws_vpc_security_group_ingress_rule") if it["security_group_id"] is not UNKNOWN
        ),
        "endpoints": sorted([it["vpc_endpoint_type"], it["service_name"]] for it in plan.of("aws_vpc_endpoint")),
    })


def function(it):
    vpc = it["vpc_config"][0] if it["vpc_config"] else {"subnet_ids": []}
    return {
        "description": it["description"],
        "runtime": it["runtime"],
        "handler": it["handler"],
        "architectures": it["architectures"],
        "memory": it["memory_size"],
        "timeout": it["timeout"],
        "ephemeral": it["ephemeral_storage"][0]["size"],
        "environment": it["environment"][0]["variables"],
        "subnets": sorted(vpc["subnet_ids"]),
    }


def roles(plan):
    inline = plan.keyed("aws_iam_role_policy")
    found = {}
    for it in (change for change in plan.resources if change["type"] == "aws_iam_role"):
        role = known(it["change"]["after"], it["change"]["after_unknown"])
        document = inline[it["index"]]["policy"] if it["name"] == "this" else None
        found[role["name"]] = {
            "trust": policy(role["assume_role_policy"]),
            "boundary": role["permissions_boundary"],
            "statements": named_policy(document) if document else {},
        }
    return found


def state_machine(it):
    [logging], [tracing] = it["logging_configuration"], it["tracing_configuration"]
    return {"level": logging["level"], "data": logging["include_execution_data"], "tracing": tracing["enabled"], "type": it["type"]}


def table(it):
    [recovery], [encryption] = it["point_in_time_recovery"], it["server_side_encryption"]
    return {
        "billing": it["billing_mode"],
        "keys": {"HASH": it["hash_key"], "RANGE": it["range_key"]},
        "attributes": {entry["name"]: entry["type"] for entry in it["attribute"]},
        "deletion protection": it["deletion_protection_enabled"],
        "recovery": recovery["enabled"],
        "key": encryption["kms_key_arn"],
    }


def bucket(plan, it):
    use = "evidence" if "-evidence-" in it["bucket"] else "backup"
    [encryption] = plan.keyed("aws_s3_bucket_server_side_encryption_configuration")[use]["rule"]
    [by_default] = encryption["apply_server_side_encryption_by_default"]
    access = plan.keyed("aws_s3_bucket_public_access_block")[use]
    locks = plan.of("aws_s3_bucket_object_lock_configuration") if use == "evidence" else []
    retention = [entry for lock in locks for rule in lock["rule"] for entry in rule["default_retention"]]
    logging = plan.keyed("aws_s3_bucket_logging").get(use)
    return {
        "versioning": plan.keyed("aws_s3_bucket_versioning")[use]["versioning_configuration"][0]["status"],
        "public access": {
            "blockPublicAcls": access["block_public_acls"],
            "blockPublicPolicy": access["block_public_policy"],
            "ignorePublicAcls": access["ignore_public_acls"],
            "restrictPublicBuckets": access["restrict_public_buckets"],
        },
        "ownership": plan.keyed("aws_s3_bucket_ownership_controls")[use]["rule"][0]["object_ownership"],
        "encryption": by_default["sse_algorithm"],
        "key": None if by_default["sse_algorithm"] == "AES256" else by_default["kms_master_key_id"],
        "bucket key": None if encryption["bucket_key_enabled"] is UNKNOWN else encryption["bucket_key_enabled"],
        "lock": False if it["object_lock_enabled"] is UNKNOWN else it["object_lock_enabled"],
        "retention": [retention[0]["mode"], retention[0]["days"]] if retention else None,
        "logs": [logging["target_bucket"], logging["target_prefix"]] if logging else None,
        "lifecycle": lifecycle(plan, use),
    }


def lifecycle(plan, use):
    found = {}
    for change in (it for it in plan.resources if it["type"] == "aws_s3_bucket_lifecycle_configuration" and it["name"] == use):
        for rule in change["change"]["after"]["rule"]:
            expiration = (rule["expiration"] or [{}])[0]
            found[rule["id"]] = {
                "abort": (rule["abort_incomplete_multipart_upload"] or [{}])[0].get("days_after_initiation"),
                "expire": expiration.get("days"),
                "noncurrent": (rule["noncurrent_version_expiration"] or [{}])[0].get("noncurrent_days"),
                "markers": expiration.get("expired_object_delete_marker"),
            }
    return found


def bucket_policies(plan):
    found = {}
    for it in plan.of("aws_s3_bucket_policy"):
        statements = policy(it["policy"])
        found[statements[0]["resources"][0].removeprefix("arn:aws:s3:::")] = statements
    return found


def alarm(it):
    return {
        "description": it["alarm_description"],
        "comparison": it["comparison_operator"],
        "threshold": it["threshold"],
        "periods": [it["period"], it["evaluation_periods"], it["datapoints_to_alarm"]],
        "missing": it["treat_missing_data"],
        "metric": [it["namespace"], it["metric_name"], it["statistic"] or it["extended_statistic"]],
        "dimensions": it["dimensions"],
        "actions": [len(it["alarm_actions"] or []), len(it["ok_actions"] or [])],
        "queries": {entry["id"]: query(entry) for entry in it["metric_query"]},
    }


def query(entry):
    metric = entry["metric"][0] if entry["metric"] else {}
    return {
        "expression": entry["expression"],
        "period": entry["period"] or metric.get("period"),
        "metric": [metric.get("namespace"), metric.get("metric_name"), metric.get("stat")],
        "dimensions": metric.get("dimensions"),
        "returns": bool(entry["return_data"]),
    }


def egress(plan):
    """Ways out of the functions' group, but those to what is created along with it."""
    kinds = ("cidr_ipv4", "prefix_list_id", "referenced_security_group_id")
    ends = [
        [next(it[kind] for kind in kinds if it[kind] is not None), it["from_port"], it["to_port"]]
        for it in plan.of("aws_vpc_security_group_egress_rule")
    ]
    return sorted(end for end in ends if end[0] is not UNKNOWN)


def rules(plan):
    targets = {it["rule"]: it for it in plan.of("aws_cloudwatch_event_target")}
    return {it["name"]: {
        "pattern": json.loads(it["event_pattern"]) if it["event_pattern"] else None,
        "schedule": it["schedule_expression"],
        "paths": sorted(path for entry in targets[it["name"]]["input_transformer"] for path in entry["input_paths"].values()),
        "input": json.loads(targets[it["name"]]["input"] or "null"),
        "retries": [[policy["maximum_event_age_in_seconds"], policy["maximum_retry_attempts"]] for policy in targets[it["name"]]["retry_policy"]],
    } for it in plan.of("aws_cloudwatch_event_rule")}
