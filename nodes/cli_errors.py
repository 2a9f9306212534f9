"""From errors to lines and exit codes: the one place (docs/cli.md shows the table).

====  ==============================================================================================
code  meaning
====  ==============================================================================================
0     done
1     it ran, and the answer is no: the demo found a problem, a vector failed, a file cannot be used
2     wrong usage: an option, an argument, a name, a code or fingerprint that is mistyped
3     configuration, files, or this machine
4     the other device: no answer, a lost link, a broken protocol
5     authentication failed
6     refused by policy: not paired, revoked, suite or role not allowed
70    an error of ours: nobody's mistake but the program's
129   SIGHUP
130   Ctrl-C (SIGINT)
141   nobody reads our output any more
143   SIGTERM
====  ==============================================================================================

A line goes to stderr. With ``--json`` an object ``{"ok": false, "error": {"kind", "message", "exit_code"}}`` is the
last line of stdout as well. An error of ours says its class only, since its text may hold anything;
``--log-level debug`` shows where it happened.
"""

import contextlib
import json
import logging
import os
import signal
import sys
from typing import Final

import click

from nodes.errors import LinkClosedError, root_cause, told
from protocols.errors import (
    AerolinkError,
    AuthenticationError,
    CodeFormatError,
    KeyFormatError,
    LocalError,
    PeerError,
    PolicyError,
    UnsupportedError,
    UsageError,
)

_log: Final = logging.getLogger(__name__)

ANSWER_IS_NO: Final = 1
OUTPUT_CLOSED: Final = 141
BUG: Final = 70
_USAGE: Final = 2
_CODES: Final[tuple[tuple[type[AerolinkError], int], ...]] = (
    (LinkClosedError, 4),  # before its base
    (UsageError, _USAGE),
    (UnsupportedError, _USAGE),
    (CodeFormatError, _USAGE),
    (KeyFormatError, _USAGE),
    (LocalError, 3),
    (PeerError, 4),
    (AuthenticationError, 5),
    (PolicyError, 6),
)


class SignalledError(Exception):
    """A signal told us to end."""

    def __init__(self, number: int) -> None:
        super().__init__("interrupted" if number == signal.SIGINT else f"ended by {signal.Signals(number).name}")
        self.code: Final = 128 + number
        """What shells expect."""


def exit_code(error: BaseException) -> int:
    """Return the exit code of an error."""
    if isinstance(error, SignalledError):
        return error.code
    if isinstance(error, KeyboardInterrupt | click.Abort):
        return 130
    if isinstance(error, BrokenPipeError):  # of sockets it is trio.BrokenResourceError
        return OUTPUT_CLOSED
    if isinstance(error, click.ClickException):
        return _USAGE
    return next((code for kind, code in _CODES if isinstance(error, kind)), BUG)


def report(error: BaseException, *, as_json: bool) -> int:
    """Tell an error to whoever reads, and return the exit code."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()
        return _USAGE
    cause = root_cause(error)
    code, message = exit_code(cause), _message(cause)
    if code == OUTPUT_CLOSED:
        close_output()
        return code
    if code == BUG:
        _log.debug("internal error", exc_info=cause)
    try:
        if as_json:
            named = {"kind": type(cause).__name__, "message": message, "exit_code": code}
            sys.stdout.write(json.dumps({"ok": False, "error": named}) + "\n")
            sys.stdout.flush()
        sys.stderr.write(f"aerolink: {message}\n")
        sys.stderr.flush()
    except BrokenPipeError:
        close_output()
    return code


def _message(cause: BaseException) -> str:
    if isinstance(cause, click.ClickException):
        return _click_line(cause)
    if isinstance(cause, SignalledError):
        return str(cause)
    if isinstance(cause, KeyboardInterrupt | click.Abort):
        return "interrupted"
    if exit_code(cause) == BUG:
        return f"{told(cause)}; this is a mistake of the program: --log-level debug shows where, please report it"
    return told(cause)


def _click_line(error: click.ClickException) -> str:
    """Click spreads some messages over lines; ours is one, and says where help is."""
    text = " ".join(error.format_message().split())
    context = error.ctx if isinstance(error, click.UsageError) else None
    return f"{text} (`{context.command_path} --help` shows what there is)" if context else text


def close_output() -> None:
    """Let what is still to be flushed at exit go nowhere, in silence."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
