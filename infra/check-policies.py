#!/usr/bin/env python3
"""Holds the policies of synthesized templates to what AWS says of its actions (policy-sentry, offline).

    check-policies.py TEMPLATE.json ...

Every action has to exist. Where AWS lists types of resources for it, each resource of the statement has to be of one of
them, or `*` where AWS takes that as well; where AWS lists none, the resource has to be `*`. Every statement of
description.json has to be in one of the templates, so that nothing passes because nobody looked at it.
"""

import json
import pathlib
import re
import sys
from functools import lru_cache

from policy_sentry.querying.actions import get_action_data

DESCRIPTION = pathlib.Path(__file__).parent / "description.json"

# Actions for which AWS lists no resources and which are granted on some all the same, with the reason.
NARROWED = {
    "states:SendTaskSuccess": "Step Functions asks for it on the state machine that waits, as its refusals say and the"
    " authors of grantTaskResponse in the CDK tried (aws/aws-cdk#8486).",
}

ANY, SEGMENT = object(), object()
# Variables of AWS's ARNs that hold neither a colon nor a slash. Others may: an object's key, a function with its
# qualifier, the map of an execution.
SEGMENTS = {"Account", "BucketName", "ClusterName", "ClusterUuid", "Partition", "Region", "TableName", "Uuid"}


def parsed_format(arn):
    """An ARN as AWS lists it, as letters and wildcards."""
    parts = re.split(r"\$\{(\w+)\}", arn)
    tokens = []
    for index, part in enumerate(parts):
        tokens.extend([SEGMENT if part in SEGMENTS else ANY] if index % 2 else part)
    return tuple(tokens)


def parsed_resource(arn):
    """A resource as policies write it, as letters and wildcards."""
    return tuple(ANY if letter in "*?" else letter for letter in arn)


@lru_cache(maxsize=None)
def overlap(left, right):
    """Whether there is a text that both patterns match."""
    if not left or not right:
        return all(token in (ANY, SEGMENT) for token in left or right)
    for one, other in ((left, right), (right, left)):
        if one[0] in (ANY, SEGMENT):
            swallows = one[0] is ANY or other[0] not in (":", "/")
            return overlap(one[1:], other) or (swallows and overlap(one, other[1:]))
    return left[0] == right[0] and overlap(left[1:], right[1:])


def statements(template):
    """The statements of a template's roles and managed policies."""
    for resource in template["Resources"].values():
        properties = resource.get("Properties", {})
        documents = [policy["PolicyDocument"] for policy in properties.get("Policies", [])]
        if resource["Type"] == "AWS::IAM::ManagedPolicy":
            documents.append(properties["PolicyDocument"])
        for document in documents:
            yield from document["Statement"]


def described_sids(description):
    """The names of all statements of the description."""
    holders = [*description["functions"], description["state_machine"], *description["roles"].values()]
    return {statement["sid"] for holder in holders for statement in holder["statements"]}


def as_list(value):
    return value if isinstance(value, list) else [value]


def fits(resource, formats):
    """Whether a resource is of one of the types that AWS lists for an action."""
    if resource == "*":
        return "*" in formats
    return any(overlap(parsed_resource(resource), parsed_format(known)) for known in formats - {"*"})


def problems(statement):
    """What is wrong with a statement."""
    # A key that the other stack creates is the only resource that a template does not say.
    key = "arn:aws:kms:eu-west-2:123456789012:key/created"
    resources = [resource if isinstance(resource, str) else key for resource in as_list(statement["Resource"])]
    for action in as_list(statement["Action"]):
        service, name = action.split(":")
        data = get_action_data(service, name)
        if not data:
            yield f"{action} is no action of AWS"
            continue
        formats = {row["resource_arn_format"] for row in data[service]}
        if formats == {"*"} and action in NARROWED:
            continue
        if not all(fits(resource, formats) for resource in resources):
            yield f"{action} is not on what AWS knows it on: {', '.join(sorted(formats))}"


def main(paths):
    sys.setrecursionlimit(10_000)
    found = [statement for path in paths for statement in statements(json.loads(pathlib.Path(path).read_text()))]
    wrong = sorted({f"{statement['Sid']}: {problem}" for statement in found for problem in problems(statement)})
    missing = described_sids(json.loads(DESCRIPTION.read_text())) - {statement["Sid"] for statement in found}
    wrong += [f"{sid}: is in none of the templates" for sid in sorted(missing)]
    for line in wrong:
        print(line, file=sys.stderr)
    print(f"policy-sentry: {len(found)} statements, {len(wrong)} problems")
    return 1 if wrong or not found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
