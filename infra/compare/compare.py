#!/usr/bin/env python3
"""Compares what CDK and Terraform deploy: compare.py PLAN.json TEMPLATE.json..."""

import sys

import cdk
import plan
from common import differences


def main():
    planned = plan.read(sys.argv[1])
    synthesized = cdk.read(sys.argv[2:])
    found, unknown = differences(synthesized, planned)
    for line in found:
        print(line)
    kinds = sorted(synthesized.keys() | planned.keys())
    print(f"compared: {', '.join(kinds)}; {unknown} values are known after deployment only", file=sys.stderr)
    return 1 if found else 0


sys.exit(main())
