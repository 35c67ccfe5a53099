"""A record of every decision of IAM, as JSON lines in the file of MSK_KRAFT_DECISIONS.

ministack's own CloudTrail leaves out what was denied, has no names of actions on S3's objects, and names no principal. This
also says as AWS does what a request is about, where ministack does not:

- a request to the MSK API is about the cluster whose ARN is in its path;
- an invocation with a qualifier is about that version or alias of the function;
- an answer to a task token is about the state machine.
"""

import json
import os
import time
from urllib.parse import unquote

from ministack.core import iam_actions, iam_evaluator
from ministack.core.responses import get_account_id
from ministack.services import stepfunctions

CLUSTERS = "/clusters/"


def install():
    """Puts both in ministack's place."""
    resource_of = iam_actions.extract_resource_arn
    enforce = iam_evaluator.enforce
    record = open(os.environ["MSK_KRAFT_DECISIONS"], "a", buffering=1, encoding="utf-8")
    principals = {}

    def resource_arn(service, method, path, headers, body, query, region, account):
        if service == "kafka" and CLUSTERS in path:
            name = unquote(path.split(CLUSTERS, 1)[1])
            # arn:aws:kafka:REGION:ACCOUNT:cluster/NAME/UUID, then what is asked about it.
            return "/".join(name.split("/")[:3])
        if service == "states" and "SendTask" in headers.get("x-amz-target", ""):
            return state_machine() or "*"
        arn = resource_of(service, method, path, headers, body, query, region, account)
        qualifier = query.get("Qualifier") if service == "lambda" else None
        if qualifier and arn.count(":") == 6:
            arn += ":" + (qualifier[0] if isinstance(qualifier, list) else qualifier)
        return arn

    def principal(access_key):
        if access_key not in principals:
            found = iam_evaluator.resolve_principal(access_key or "", get_account_id())
            principals[access_key] = getattr(found, "arn", "")
        return principals[access_key]

    def recorded(access_key, action, service, region, resource_arn="*", service_context=None):
        denied = enforce(access_key, action, service, region, resource_arn=resource_arn, service_context=service_context)
        who = principal(access_key)
        if who and not who.endswith(":root"):
            line = {"at": time.time(), "who": who, "action": action, "resource": resource_arn, "allowed": denied is None}
            record.write(json.dumps(line) + "\n")
        return denied

    iam_actions.extract_resource_arn = resource_arn
    iam_evaluator.enforce = recorded


def state_machine():
    """The one whose executions there are: a token does not tell whose it is. Children of a map are named behind a slash."""
    arns = {execution["stateMachineArn"].split("/")[0] for execution in stepfunctions._executions.values()}
    return arns.pop() if len(arns) == 1 else None
