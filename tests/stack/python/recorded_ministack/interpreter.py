"""What ministack's interpreter of state machines does otherwise than AWS, done as AWS does it.

- A Parallel ends with its first failed branch; ministack waits for the others and ends them never. The state machine ends
  watchdogs in this way: a branch that is done fails by a name that is caught. What is under way in the other branches, an
  invocation for example, goes on; no further state of theirs begins. The same goes for an execution that was stopped.
- A task that waits for its token fails when the function that gets the token does, and TimeoutSecondsPath bounds it; ministack
  goes on waiting.
"""

import contextvars
import json
import queue
import threading
import time

from ministack.services import stepfunctions as asl

LOOK = 0.2


class Stopped(Exception):
    """This branch is over: another one failed, or the execution was stopped."""


class Scope:
    """The branches of one Parallel, within those of others."""

    def __init__(self, execution, outer):
        self.execution = execution
        self.outer = outer
        self.over = False

    def is_over(self):
        aborted = self.execution["status"] == "ABORTED"
        return self.over or aborted or (self.outer is not None and self.outer.is_over())


within = contextvars.ContextVar("within", default=None)


def check():
    scope = within.get()
    if scope is not None and scope.is_over():
        raise Stopped()


def sleep(seconds):
    until = time.monotonic() + seconds * asl._SFN_WAIT_SCALE
    while (left := until - time.monotonic()) > 0:
        check()
        time.sleep(min(left, LOOK))
    check()


def branches(state, raw_input, execution, ctx):
    effective = asl._apply_parameters(state, asl._apply_input_path(state, raw_input, ctx), ctx)
    outer = within.get()
    scope = Scope(execution, outer)
    ended = queue.Queue()

    def run(number, branch):
        within.set(scope)
        try:
            # The token of a task is kept in the context: branches must not share it.
            result = asl._run_sub_machine(branch["States"], branch["StartAt"], effective, execution, dict(ctx))
            ended.put((number, result, None))
        except Exception as error:
            ended.put((number, None, error))

    all_branches = state.get("Branches", [])
    for number, branch in enumerate(all_branches):
        target, args = contextvars.copy_context().run, (run, number, branch)
        threading.Thread(target=target, args=args, daemon=True).start()
    results = [None] * len(all_branches)
    for _ in all_branches:
        number, result, error = next_of(ended, scope)
        if error is not None:
            scope.over = True
            known = isinstance(error, (asl._ExecutionError, Stopped))
            raise error if known else asl._ExecutionError("States.BranchFailed", str(error))
        results[number] = result
    result = asl._apply_result_selector(state, results)
    output = asl._apply_output_path(state, asl._apply_result_path(state, raw_input, result), ctx)
    return output, asl._next_or_end(state)


def next_of(ended, scope):
    while True:
        try:
            return ended.get(timeout=LOOK)
        except queue.Empty:
            if scope.is_over():
                raise Stopped() from None


def checked(run):
    def state(*args):
        check()
        return run(*args)

    return state


def bounded(run):
    """A task whose time limit is in its input."""

    def state(definition, raw_input, execution, ctx):
        if "TimeoutSecondsPath" in definition:
            limit = asl._resolve_path(definition["TimeoutSecondsPath"], raw_input)
            definition = {**definition, "TimeoutSeconds": limit}
        return run(definition, raw_input, execution, ctx)

    return state


def callback(resource, input_data, token, state):
    """A function that is invoked with the token of its task."""
    function = asl._resolve_lambda_function_ref(input_data.get("FunctionName", ""), optimized=True)
    event = threading.Event()
    asl._task_tokens[token] = {"event": event, "result": None, "error": None, "heartbeat": None}
    try:
        asl._call_lambda(function, input_data.get("Payload", input_data))
        limit = time.monotonic() + state.get("TimeoutSeconds", 99_999_999)
        while not event.wait(LOOK):
            check()
            if time.monotonic() > limit:
                raise asl._ExecutionError("States.Timeout", "the task was not answered in time")
        answer = asl._task_tokens[token]
    finally:
        asl._task_tokens.pop(token, None)
    if error := answer["error"]:
        raise asl._ExecutionError(error.get("Error", "TaskFailed"), error.get("Cause", ""))
    return json.loads(answer["result"] or "{}")


def install():
    """Puts them in ministack's place."""
    waiting = asl._invoke_with_callback

    def dispatched(resource, input_data, token, state):
        own = resource == "arn:aws:states:::lambda:invoke.waitForTaskToken"
        return (callback if own else waiting)(resource, input_data, token, state)

    asl._invoke_with_callback = dispatched
    asl._execute_task = bounded(asl._execute_task)
    for name in ("pass", "task", "choice", "wait", "parallel", "map"):
        setattr(asl, f"_execute_{name}", checked(getattr(asl, f"_execute_{name}")))
    asl._run_parallel_branches = branches
    asl._scaled_sleep = sleep
