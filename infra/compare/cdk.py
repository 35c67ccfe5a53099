"""Reads synthesized templates of the CDK app."""

import json

from common import UNKNOWN, listed, named_policy, policy, without_nulls


class Templates:
    def __init__(self, files):
        self.resources = {}
        for file in files:
            with open(file) as text:
                self.resources |= json.load(text)["Resources"]

    def of(self, kind):
        return [self.value(resource.get("Properties", {})) for resource in self.resources.values() if resource["Type"] == kind]

    def value(self, value):
        """A value with references put in, as far as a template knows what they stand for."""
        if isinstance(value, list):
            return [self.value(inner) for inner in value]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            [(function, argument)] = value.items()
            if function == "Ref":
                return {"AWS::Region": "eu-west-1", "AWS::Partition": "aws"}.get(argument) or self.named(argument)
            if function == "Fn::GetAtt":
                return self.named(argument[0], argument[1])
            if function == "Fn::Join":
                parts = [self.value(part) for part in argument[1]]
                return UNKNOWN if UNKNOWN in parts else argument[0].join(parts)
            if function.startswith("Fn::"):
                return UNKNOWN
        return {key: self.value(inner) for key, inner in value.items()}

    def named(self, logical, attribute=None):
        resource = self.resources.get(logical, {"Type": "Parameter"})
        properties = resource.get("Properties", {})
        for kind, key, arn in [
            ("AWS::S3::Bucket", "BucketName", "arn:aws:s3:::{}"),
            ("AWS::Lambda::Function", "FunctionName", None),
            ("AWS::Logs::LogGroup", "LogGroupName", None),
            ("AWS::IAM::Role", "RoleName", None),
        ]:
            if resource["Type"] == kind:
                return arn.format(properties[key]) if attribute == "Arn" and arn else properties[key]
        return UNKNOWN


def read(files):
    templates = Templates(files)
    return without_nulls({
        "functions": {it["FunctionName"]: function(it) for it in templates.of("AWS::Lambda::Function")},
        "aliases": sorted((it["FunctionName"], it["Name"]) for it in templates.of("AWS::Lambda::Alias")),
        "urls": [[it["AuthType"], it["Qualifier"]] for it in templates.of("AWS::Lambda::Url")],
        "url permissions": sorted(
            [it["Action"], it.get("FunctionUrlAuthType"), it.get("InvokedViaFunctionUrl")] for it in templates.of("AWS::Lambda::Permission") if it["Principal"] == "*"
        ),
        "asynchronous": sorted(
            [it["Qualifier"], it["MaximumEventAgeInSeconds"], it["MaximumRetryAttempts"]] for it in templates.of("AWS::Lambda::EventInvokeConfig")
        ),
        "roles": {it["RoleName"]: role(it) for it in templates.of("AWS::IAM::Role")},
        "policies": {it["ManagedPolicyName"]: named_policy(it["PolicyDocument"]) for it in templates.of("AWS::IAM::ManagedPolicy")},
        "logs": {it["LogGroupName"]: {"days": it["RetentionInDays"], "key": it.get("KmsKeyId")} for it in templates.of("AWS::Logs::LogGroup")},
        "state machines": {it["StateMachineName"]: state_machine(it) for it in templates.of("AWS::StepFunctions::StateMachine")},
        "tables": {it["TableName"]: table(it) for it in templates.of("AWS::DynamoDB::Table")},
        "buckets": {it["BucketName"]: bucket(it) for it in templates.of("AWS::S3::Bucket")},
        "bucket policies": {it["Bucket"]: policy(it["PolicyDocument"]) for it in templates.of("AWS::S3::BucketPolicy")},
        "keys": [{"rotation": it["EnableKeyRotation"], "policy": policy(it["KeyPolicy"])} for it in templates.of("AWS::KMS::Key")],
        "key aliases": [it["AliasName"] for it in templates.of("AWS::KMS::Alias")],
        "alarms": {it["AlarmName"]: alarm(it) for it in templates.of("AWS::CloudWatch::Alarm")},
        "graphs": [graphs(it["DashboardBody"]) for it in templates.of("AWS::CloudWatch::Dashboard")],
        "queries": {it["Name"]: [it["QueryString"], sorted(it["LogGroupNames"])] for it in templates.of("AWS::Logs::QueryDefinition")},
        "topics": {it["TopicName"]: {"display": it["DisplayName"], "key": it.get("KmsMasterKeyId")} for it in templates.of("AWS::SNS::Topic")},
        "topic publishers": [publishers(it["PolicyDocument"]) for it in templates.of("AWS::SNS::TopicPolicy")],
        "subscriptions": sorted([it["Protocol"], it["Endpoint"]] for it in templates.of("AWS::SNS::Subscription")),
        "rules": {it["Name"]: rule(it) for it in templates.of("AWS::Events::Rule")},
        "parameters": {it["Name"]: parameter(it["Value"]) for it in templates.of("AWS::SSM::Parameter")},
        "egress": egress(templates),
        "broker ingress": sorted([it["GroupId"], it["FromPort"], it["ToPort"]] for it in templates.of("AWS::EC2::SecurityGroupIngress") if isinstance(it["GroupId"], str)),
        "endpoints": sorted([it.get("VpcEndpointType", "Gateway"), it["ServiceName"]] for it in templates.of("AWS::EC2::VPCEndpoint")),
    })


def function(it):
    return {
        "description": it["Description"],
        "runtime": it["Runtime"],
        "handler": it["Handler"],
        "architectures": it["Architectures"],
        "memory": it["MemorySize"],
        "timeout": it["Timeout"],
        "ephemeral": it["EphemeralStorage"]["Size"],
        "environment": it["Environment"]["Variables"],
        "subnets": sorted(it.get("VpcConfig", {}).get("SubnetIds", [])),
    }


def role(it):
    inline = [named_policy(inner["PolicyDocument"]) for inner in it.get("Policies", [])]
    return {
        "trust": policy(it["AssumeRolePolicyDocument"]),
        "boundary": it.get("PermissionsBoundary"),
        "statements": {sid: entry for statements in inline for sid, entry in statements.items()},
    }


def state_machine(it):
    logging = it["LoggingConfiguration"]
    return {
        "level": logging["Level"],
        "data": logging.get("IncludeExecutionData", False),
        "tracing": it["TracingConfiguration"]["Enabled"],
        "type": it.get("StateMachineType", "STANDARD"),
    }


def table(it):
    encryption = it.get("SSESpecification", {})
    return {
        "billing": it["BillingMode"],
        "keys": {key["KeyType"]: key["AttributeName"] for key in it["KeySchema"]},
        "attributes": {entry["AttributeName"]: entry["AttributeType"] for entry in it["AttributeDefinitions"]},
        "deletion protection": it["DeletionProtectionEnabled"],
        "recovery": it["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"],
        "key": encryption.get("KMSMasterKeyId"),
    }


def bucket(it):
    [encryption] = it["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    lock = it.get("ObjectLockConfiguration", {}).get("Rule", {}).get("DefaultRetention", {})
    rules = it.get("LifecycleConfiguration", {}).get("Rules", [])
    logging = it.get("LoggingConfiguration", {})
    return {
        "versioning": it["VersioningConfiguration"]["Status"],
        "public access": {key[0].lower() + key[1:]: value for key, value in it["PublicAccessBlockConfiguration"].items()},
        "ownership": it["OwnershipControls"]["Rules"][0]["ObjectOwnership"],
        "encryption": encryption["ServerSideEncryptionByDefault"]["SSEAlgorithm"],
        "key": encryption["ServerSideEncryptionByDefault"].get("KMSMasterKeyID"),
        "bucket key": encryption.get("BucketKeyEnabled") or None,
        "lock": it.get("ObjectLockEnabled", False),
        "retention": [lock["Mode"], lock["Days"]] if lock else None,
        "logs": [logging["DestinationBucketName"], logging["LogFilePrefix"]] if logging else None,
        "lifecycle": {entry["Id"]: {
            "abort": entry.get("AbortIncompleteMultipartUpload", {}).get("DaysAfterInitiation"),
            "expire": entry.get("ExpirationInDays"),
            "noncurrent": entry.get("NoncurrentVersionExpiration", {}).get("NoncurrentDays"),
            "markers": entry.get("ExpiredObjectDeleteMarker"),
        } for entry in rules},
    }


def alarm(it):
    return {
        "description": it["AlarmDescription"],
        "comparison": it["ComparisonOperator"],
        "threshold": it["Threshold"],
        "periods": [it.get("Period"), it["EvaluationPeriods"], it["DatapointsToAlarm"]],
        "missing": it["TreatMissingData"],
        "metric": [it.get("Namespace"), it.get("MetricName"), it.get("Statistic") or it.get("ExtendedStatistic")],
        "dimensions": dimensions(it.get("Dimensions")),
        "actions": [len(it.get("AlarmActions", [])), len(it.get("OKActions", []))],
        "queries": {entry["Id"]: query(entry) for entry in it.get("Metrics", [])},
    }


def query(entry):
    stat = entry.get("MetricStat", {})
    metric = stat.get("Metric", {})
    return {
        "expression": entry.get("Expression"),
        "period": entry.get("Period") or stat.get("Period"),
        "metric": [metric.get("Namespace"), metric.get("MetricName"), stat.get("Stat")],
        "dimensions": dimensions(metric.get("Dimensions")),
        "returns": bool(entry.get("ReturnData")),
    }


def dimensions(entries):
    return {entry["Name"]: entry["Value"] for entry in listed(entries)}


def graphs(body):
    """Titles and lines: how they are drawn is left to each deployer."""
    return [[widget["properties"]["title"], sorted(map(line, widget["properties"]["metrics"]))] for widget in json.loads(body)["widgets"]]


def line(entry):
    *words, options = entry if isinstance(entry[-1], dict) else [*entry, {}]
    expression = options.get("expression", "").replace(", 60)", ")")
    return [*words, options.get("stat") or "", expression]


def publishers(document):
    """Who may publish, and under which condition."""
    allowed = [entry for entry in listed(document["Statement"]) if entry["Effect"] == "Allow"]
    return {service: entry.get("Condition", "always") for entry in allowed for service in listed(entry["Principal"]["Service"])}


def rule(it):
    [target] = it["Targets"]
    retries = target.get("RetryPolicy")
    return {
        "pattern": it.get("EventPattern"),
        "schedule": it.get("ScheduleExpression"),
        "paths": sorted(target.get("InputTransformer", {}).get("InputPathsMap", {}).values()),
        "input": json.loads(target.get("Input", "null")),
        "retries": [[retries["MaximumEventAgeInSeconds"], retries["MaximumRetryAttempts"]]] if retries else [],
    }


def parameter(value):
    return UNKNOWN if value is UNKNOWN else json.loads(value)


def egress(templates):
    """Ways out of the functions' group, but those to what is created along with it."""
    ways = [way for it in templates.of("AWS::EC2::SecurityGroup") for way in it.get("SecurityGroupEgress", []) if way.get("CidrIp") != "255.255.255.255/32"]
    ways += templates.of("AWS::EC2::SecurityGroupEgress")
    ends = [[way.get("CidrIp") or way.get("DestinationSecurityGroupId"), way["FromPort"], way["ToPort"]] for way in ways]
    return sorted(end for end in ends if end[0] is not UNKNOWN)
