"""Logging of the command: one logger per package, the link in every record, no flood from a hostile sender.

The library itself only makes records (``logging.getLogger(__name__)``); :func:`set_up` is for programs. A
record about something that anybody on the network can cause is marked ``extra=HOSTILE``; such records pass at
a limited rate per kind, and what was left out is counted in the next that passes.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any, Final, TextIO

from rich.console import Console
from rich.logging import RichHandler

from nodes.config.reader import one_line

PACKAGES: Final = ("specs", "protocols", "nodes")
HOSTILE: Final[Mapping[str, object]] = {"hostile": True}
"""``extra`` of a record that a stranger can cause as often as he likes."""
MAX_KINDS: Final = 256
"""Kinds of hostile records that have a rate of their own; later ones share one."""
NO_LINK: Final = "-"
_FORMAT: Final = "%(asctime)s %(levelname)-7s %(name)s [%(link)s] %(message)s"
_RICH_FORMAT: Final = "[%(link)s] %(message)s"


class LinkLogger(logging.LoggerAdapter[logging.Logger]):
    """Puts the id of a link into each record; its ``extra`` joins that of the call."""

    def __init__(self, logger: logging.Logger, link: str) -> None:
        super().__init__(logger, {"link": link})

    def process(self, msg: object, kwargs: MutableMapping[str, Any]) -> tuple[object, MutableMapping[str, Any]]:
        kwargs["extra"] = {**(kwargs.get("extra") or {}), **(self.extra or {})}
        return msg, kwargs


class LinkFilter(logging.Filter):
    """Gives records without a link the id "-", so that one format fits all."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.link = getattr(record, "link", NO_LINK)
        return True


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float
    left_out: int = 0


class RateLimitFilter(logging.Filter):
    """Lets records marked hostile pass at ``per_s``, after a burst, for each kind of record.

    The kind is the logger and the message before arguments are put in, so the memory that it takes is bounded
    by the code and not by who sends.
    """

    def __init__(self, clock: Callable[[], float], per_s: float = 1.0, burst: int = 5) -> None:
        super().__init__()
        self._clock = clock
        self._per_s = per_s
        self._burst = float(burst)
        self._buckets: dict[tuple[str, str], _Bucket] = {}
        self._lock = threading.Lock()  # logging calls filters outside of its own

    def filter(self, record: logging.LogRecord) -> bool:
        if not getattr(record, "hostile", False):
            return True
        with self._lock:
            return self._passes(record, self._clock())

    def _passes(self, record: logging.LogRecord, now: float) -> bool:
        kind = (record.name, str(record.msg))
        if kind not in self._buckets and len(self._buckets) >= MAX_KINDS:
            kind = ("", "")  # somebody put the arguments in: then all of them share one
        bucket = self._buckets.setdefault(kind, _Bucket(self._burst, now))
        bucket.tokens = min(self._burst, bucket.tokens + max(0.0, now - bucket.at) * self._per_s)
        bucket.at = now
        if bucket.tokens < 1.0:
            bucket.left_out += 1
            return False
        bucket.tokens -= 1.0
        if bucket.left_out:
            record.msg, record.args = f"{record.getMessage()} ({bucket.left_out} more left out)", None
            bucket.left_out = 0
        return True


class PlainFormatter(logging.Formatter):
    """One record, one line: nothing that came from outside can break it or steer a terminal."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the name in logging
        record.message = one_line(record.message)
        return super().formatMessage(record)


def set_up(
    level: str, stream: TextIO, *, rich: bool | None = None, clock: Callable[[], float] = time.monotonic
) -> logging.Handler:
    """Send the records of our packages to ``stream``, return the handler; a second call replaces the first.

    ``rich`` says whether a person watches; by default, whether ``stream`` is a terminal.
    """
    handler: logging.Handler
    if stream.isatty() if rich is None else rich:
        handler = RichHandler(console=Console(file=stream), show_path=False, markup=False)
        handler.setFormatter(PlainFormatter(_RICH_FORMAT))
    else:
        handler = logging.StreamHandler(stream)
        handler.setFormatter(PlainFormatter(_FORMAT))
    handler.addFilter(LinkFilter())
    handler.addFilter(RateLimitFilter(clock))
    for name in PACKAGES:
        logger = logging.getLogger(name)
        logger.handlers[:] = [handler]
        logger.setLevel(level.upper())
        logger.propagate = False
    return handler


def alarms_are_said() -> None:
    """Leave alarms out of what :func:`set_up` writes: the program tells each of them, with more, to the same reader."""
    for handler in logging.getLogger(PACKAGES[0]).handlers:
        handler.addFilter(_is_no_alarm)


def _is_no_alarm(record: logging.LogRecord) -> bool:
    return not getattr(record, "alarm", False)


def take_down() -> None:
    """Undo :func:`set_up`."""
    for name in PACKAGES:
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.setLevel(logging.NOTSET)
        logger.propagate = True
