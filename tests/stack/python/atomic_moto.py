"""moto, whose conditional writes are atomic as those of AWS are.

moto answers each request in a thread of its own and looks at a condition before it writes: of two requests at once, both may
find the condition true. Here requests to DynamoDB happen one at a time, and so do those that store an object in S3 unless it
exists. And what moto works out anew in each request, and in each step of a state machine, is remembered: which service a host
is, and what a JSON path means. What is changed here are names that are private to moto 5.2.5, the
version that requirements.txt pins.
"""

import functools
import threading

from moto.dynamodb.responses import DynamoHandler
from moto.moto_server.werkzeug_app import DomainDispatcherApplication
from moto.s3.responses import S3Response
from moto.server import main
from moto.stepfunctions.parser.asl.utils import json_path


def one_at_a_time(owner, name, when=lambda request: True):
    """Lets no two calls of a method run at once for requests that are so."""
    lock = threading.RLock()
    method = getattr(owner, name)

    @functools.wraps(method)
    def call(request, *arguments, **named):
        if not when(request):
            return method(request, *arguments, **named)
        with lock:
            return method(request, *arguments, **named)

    setattr(owner, name, call)


def is_conditional(request):
    return "If-None-Match" in request.headers


def remembered(owner, name):
    """Has a function of hashable arguments answer once for each of them."""
    setattr(owner, name, functools.lru_cache(maxsize=4096)(getattr(owner, name)))


remembered(DomainDispatcherApplication, "get_backend_for_host")
remembered(json_path, "parse")
one_at_a_time(DynamoHandler, "call_action")
one_at_a_time(S3Response, "put_object", is_conditional)
one_at_a_time(S3Response, "_key_response_post", is_conditional)
main()
