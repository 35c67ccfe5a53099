"""ministack with a record of IAM's decisions and of invocations by executions, and with some things done as AWS does them.

What is changed here are names that are private to ministack 1.5.33, the version that ministack.txt pins; another version has
to be looked at first.
"""

from hypercorn.config import Config
from ministack import app

import decisions
import interpreter
import invocations

# Over HTTP/2 a request now and then stayed without an answer until the connection's keep-alive ran out.
Config.alpn_protocols = ["http/1.1"]

decisions.install()
interpreter.install()
invocations.install()
app.main()
