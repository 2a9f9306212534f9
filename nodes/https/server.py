"""The server: accepts, speaks TLS, lets in what the front check lets in, and asks a handler."""

import ssl
import time
from collections.abc import Callable

from nodes.config.endpoint import Endpoint
from nodes.https.limits import HttpLimits
from nodes.https.messages import Handler
from nodes.https.watch import HttpCounters, OnAlarm
from nodes.service import Service

Context = ssl.SSLContext | Callable[[], ssl.SSLContext]


class HttpsServer(Service):
    """``async with HttpsServer(handler, context) as server: where = await server.serve(endpoint)``."""

    def __init__(
        self,
        handler: Handler,
        context: Context,
        limits: HttpLimits | None = None,
        *,
        on_alarm: OnAlarm | None = None,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        """``context`` says who may come in (a function is asked for each connection); ``wall_clock``: Unix seconds."""
        self.counters = HttpCounters()
        self._handler = handler
        self._context = context
        self._limits = limits or HttpLimits()
        self._on_alarm = on_alarm
        self._wall_clock = wall_clock

    async def serve(self, endpoint: Endpoint) -> Endpoint:
        """Listen there too; return where that is (port 0: chosen). ConfigError with one line when it cannot be."""
        raise NotImplementedError
