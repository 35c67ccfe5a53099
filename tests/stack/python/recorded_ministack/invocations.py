"""A record of what executions of the state machine invoke, as JSON lines in the file of MSK_KRAFT_INVOCATIONS.

ministack does not ask IAM about these invocations, and an execution's history in it does not say which version of a function was called.
"""

import contextvars
import json
import os

from ministack.services import lambda_svc
from ministack.services import stepfunctions as asl

execution = contextvars.ContextVar("execution", default="")


def install():
    """Puts it around ministack's tasks."""
    task, call = asl._execute_task, asl._call_lambda
    record = open(os.environ["MSK_KRAFT_INVOCATIONS"], "a", buffering=1, encoding="utf-8")

    def within(definition, raw_input, running, ctx):
        # A child of a map has the context of the execution that began it.
        execution.set(ctx["Execution"]["Name"])
        return task(definition, raw_input, running, ctx)

    def recorded(function, event):
        _, config, _ = lambda_svc._get_func_record_for_ref(function)
        if config:
            line = {"execution": execution.get(), "function": config["FunctionName"], "version": config["Version"]}
            record.write(json.dumps(line) + "\n")
        return call(function, event)

    asl._execute_task = within
    asl._call_lambda = recorded
