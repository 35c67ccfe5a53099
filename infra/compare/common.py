"""What both deployers' output is brought into: plain values by kind and name, in one order."""

import json


class Unknown:
    """A value that is not known before something is deployed. It equals everything."""

    def __repr__(self):
        return "(known after deployment)"


UNKNOWN = Unknown()


def listed(value):
    """IAM and CloudFormation write a list of one without the list."""
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def policy(document):
    """A policy's statements as a set, without their order and names that carry no meaning."""
    if document is UNKNOWN:
        return UNKNOWN
    if isinstance(document, str):
        document = json.loads(document)
    return sorted((statement(entry) for entry in listed(document["Statement"])), key=lambda entry: json.dumps(entry, sort_keys=True))


def named_policy(document):
    """The same by the names of the statements."""
    if document is UNKNOWN:
        return UNKNOWN
    if isinstance(document, str):
        document = json.loads(document)
    return {entry["Sid"]: statement(entry) for entry in listed(document["Statement"])}


def statement(entry):
    return {
        "effect": entry["Effect"],
        "principal": principal(entry.get("Principal")),
        "actions": sorted(listed(entry["Action"])),
        "resources": sorted(listed(entry.get("Resource"))),
        "conditions": {
            operator: {key: sorted(str(value) for value in listed(values)) for key, values in condition.items()}
            for operator, condition in entry.get("Condition", {}).items()
        },
    }


def principal(value):
    if value is None or value == "*" or value == {"AWS": "*"}:
        return None if value is None else "*"
    return {kind: sorted(listed(names)) for kind, names in value.items()}


def without_nulls(value):
    if isinstance(value, dict):
        return {key: without_nulls(inner) for key, inner in value.items() if inner not in (None, [], {})}
    if isinstance(value, list):
        return [without_nulls(inner) for inner in value]
    return value


def differences(left, right, path=""):
    """Where two values differ, as lines. What is unknown on one side differs from nothing; such places are counted."""
    found, unknown = [], 0
    if left is UNKNOWN or right is UNKNOWN:
        return [], int(left is not right)
    if isinstance(left, dict) and isinstance(right, dict):
        for key in sorted(left.keys() | right.keys(), key=str):
            inner = f"{path}.{key}" if path else str(key)
            if key not in left or key not in right:
                side, value = ("cdk", left[key]) if key in left else ("terraform", right[key])
                found.append(f"{inner}: only {side} has it: {short(value)}")
                continue
            more, hidden = differences(left[key], right[key], inner)
            found += more
            unknown += hidden
    elif isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        for index, (one, other) in enumerate(zip(left, right)):
            more, hidden = differences(one, other, f"{path}[{index}]")
            found += more
            unknown += hidden
    elif left != right:
        found.append(f"{path}: cdk {short(left)}, terraform {short(right)}")
    return found, unknown


def short(value):
    text = json.dumps(value, default=repr, sort_keys=True)
    return text if len(text) <= 400 else text[:400] + "…"
