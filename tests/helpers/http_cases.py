"""HTTP for tests: what a stream of bytes says by the plainest reading there is, and what our two ends make of it."""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from protocols.http1.client import ClientConnection
from protocols.http1.events import BodyPiece, RequestHead, ResponseHead
from protocols.http1.limits import MessageLimits
from protocols.http1.refusal import RefusedError, Why
from protocols.http1.server import ServerConnection

GOOD = b"POST /good HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\ngood"
LIMITS = MessageLimits()


@dataclass(frozen=True)
class Served:
    """One request as a handler would get it, or one response as a caller would."""

    start: tuple[str, str]
    """Method and target, or status and nothing."""
    body: bytes


@dataclass
class Outcome:
    """What became of a stream."""

    served: list[Served] = field(default_factory=list[Served])
    why: Why | None = None
    """Why the stream was refused, its end included."""


# --- our two ends -------------------------------------------------------------------------------


def pieces_of(data: bytes, size: int) -> list[bytes]:
    """Return ``data`` cut in pieces of one size; 0: whole."""
    size = size or len(data) or 1
    return [data[start : start + size] for start in range(0, len(data), size)]


def serve(pieces: Iterable[bytes], limits: MessageLimits = LIMITS) -> Outcome:
    """Let a server read a stream to its end, and answer each request when it is whole."""
    machine, outcome = ServerConnection(limits), Outcome()
    try:
        for piece in pieces:
            machine.receive(piece)
            _serve_all(machine, outcome)
        machine.end_untrusted()
    except RefusedError as error:
        outcome.why = error.why
    return outcome


def _serve_all(machine: ServerConnection, outcome: Outcome) -> None:
    while True:
        event = machine.next_event_untrusted()
        if event is None:
            return
        if isinstance(event, RequestHead):
            target = f"{event.path}?{event.query}" if event.query else event.path
            outcome.served.append(Served((event.method, target), b""))
        elif isinstance(event, BodyPiece):
            last = outcome.served.pop()
            outcome.served.append(Served(last.start, last.body + event.data))
        else:
            machine.answer(200, {}, b"")
            machine.next_cycle()


def ask(pieces: Iterable[bytes], limits: MessageLimits = LIMITS, *, streaming: bool = False) -> Outcome:
    """Let a client read a stream to its end, as the answer to one request."""
    machine, outcome = ClientConnection(limits), Outcome()
    machine.request("GET", "/", {"Host": "a"}, streaming=streaming)
    start, body, ended = ("", ""), b"", False
    try:
        for piece in pieces:
            machine.receive(piece)
            while (event := machine.next_event_untrusted()) is not None:
                if isinstance(event, ResponseHead):
                    start = (str(event.status), "")
                elif isinstance(event, BodyPiece):
                    body += event.data
                else:
                    ended = True
                    outcome.served.append(Served(start, body))
    except RefusedError as error:
        outcome.why = error.why
    if not ended and outcome.why is None:
        outcome.why = Why.TRUNCATED
    return outcome


# --- the plainest reading -----------------------------------------------------------------------

_LINE = re.compile(rb"(GET|DELETE|POST|PUT) (/[!-~]*) HTTP/1\.1")
_FIELD = re.compile(rb"([A-Za-z0-9-]+):([ -~]*)")


def plain_requests(stream: bytes) -> tuple[list[Served], bool]:
    """Return the requests that everybody finds in ``stream``, and whether they are all of it.

    Written without a look at the product: heads up to the first empty line, bodies by Content-Length, and the end at
    the first head about which two readers could differ. The last one may lack some of its body.
    """
    found: list[Served] = []
    while stream:
        head, end, rest = stream.partition(b"\r\n\r\n")
        first, *lines = head.split(b"\r\n")
        line = _LINE.fullmatch(first)
        fields = [_FIELD.fullmatch(each) for each in lines]
        if not end or line is None or None in fields:
            return found, False
        pairs = [(each[1].lower(), each[2].strip(b" ")) for each in fields if each is not None]
        names = [name for name, _ in pairs]
        values = dict(pairs)
        length = values.get(b"content-length", b"0")
        if (
            len(set(names)) < len(names)
            or b"transfer-encoding" in values
            or not values.get(b"host")
            or not re.fullmatch(rb"[0-9]{1,15}", length)
        ):
            return found, False
        found.append(Served((line[1].decode(), line[2].decode()), rest[: int(length)]))
        if len(rest) < int(length):
            return found, False
        stream = rest[int(length) :]
        if values.get(b"connection", b"").lower() == b"close":
            return found, not stream
    return found, True


# --- public cases -------------------------------------------------------------------------------


def garden_payloads(file: Path) -> list[bytes]:
    """Return the payloads of a list of texts with backslash escapes."""
    texts: list[str] = json.loads(file.read_text("utf-8"))
    return [text.encode("latin-1").decode("unicode_escape").encode("latin-1") for text in texts]


def with_host(stream: bytes) -> bytes:
    """Return the stream with a Host in its first head, unless there is one: the lack of it hides what else is wrong."""
    first, end, rest = stream.partition(b"\r\n")
    if not end or re.search(rb"^host *:", rest.partition(b"\r\n\r\n")[0], re.IGNORECASE | re.MULTILINE):
        return stream
    return first + b"\r\nHost: a\r\n" + rest


@dataclass(frozen=True)
class LlhttpCase:
    """One case of llhttp's own suite."""

    name: str
    kind: str
    """request, response, url; with -finish, or -lenient-something, behind it."""
    data: bytes
    """What is parsed."""
    complete: int
    """Messages that llhttp has taken whole."""
    error: bool
    """Whether llhttp refuses what it has not taken."""
    messages: tuple[tuple[str, str, str], ...]
    """Method, target (or nothing) and body of each, complete or not."""
    bodiless: bool
    """Whether llhttp is told that no message has a body, whatever its length says."""

    @property
    def lenient(self) -> bool:
        """Whether the case is of a mode that takes more."""
        return "-lenient-" in self.kind


_META = re.compile(r"<!-- meta=(\{.*?\})\s*-->")
_PAUSES = ("Pause on CONNECT/Upgrade", "Pause on PRI/Upgrade")


def llhttp_cases(folder: Path) -> Iterator[LlhttpCase]:
    """Yield the cases of all pages, in order; KeyError, ValueError for what is no case."""
    for page in sorted(folder.rglob("*.md")):
        text = page.read_text("utf-8").replace("\r\n", "\n")
        if not text.endswith("\n"):
            text += "\n"
        found = list(_blocks(text))
        if len(found) != len(re.findall(r"^```(?:http|url)$", text, re.MULTILINE)):
            raise ValueError(f"{page.name}: cases that are not understood")
        for number, (title, meta, shape, source, log) in enumerate(found):
            kind = str(meta["type"]) if shape == "http" else "url"
            yield LlhttpCase(
                f"{page.parent.name}/{page.stem}-{number:02}-{re.sub('[^a-z0-9]+', '-', title.lower()).strip('-')}",
                kind,
                unescaped(source),
                log.count(" message complete"),
                any("error code=" in line and not any(each in line for each in _PAUSES) for line in log.splitlines()),
                _messages(log),
                bodiless=meta.get("skipBody", False),
            )


def _blocks(text: str) -> Iterator[tuple[str, dict[str, Any], str, str, str]]:
    title, meta, shape, block = "", dict[str, Any](), "", list[str]()
    pending: tuple[str, dict[str, Any], str, str] | None = None
    for line in text.split("\n"):
        if shape:
            if line != "```":
                block.append(line)
                continue
            source = "\n".join(block)
            if shape == "log" and pending is not None:
                yield (*pending, source)
                pending, meta = None, {}
            elif shape in {"http", "url"}:
                pending = (title, meta, shape, source)
            shape, block = "", []
        elif line.startswith("```"):
            shape = line.removeprefix("```").strip()
        elif line.startswith("#"):
            title = line.lstrip("# ")
        elif found := _META.search(line):
            meta = json.loads(found[1])


def unescaped(text: str) -> bytes:
    """Return the bytes that a block of a page means, by the rules of llhttp's own runner (test/md-test.ts)."""
    text = text.replace("\\\n", "").replace("\n", "\r\n")
    for escape, meant in (("\\r", "\r"), ("\\n", "\n"), ("\\t", "\t"), ("\\f", "\f")):
        text = text.replace(escape, meant)
    text = re.sub(r"\\x([0-9a-fA-F]+)", lambda found: chr(int(found[1], 16)), text)
    return re.sub(r"\\([0-7]{1,3})", lambda found: chr(int(found[1], 8)), text).encode("utf-8")


_SPAN = re.compile(r'off=\d+ len=\d+ span\[(method|url|body)\]=(?:"(.*)"|(cr|lf))')
_BREAKS = {"cr": "\r", "lf": "\n"}


def _messages(log: str) -> tuple[tuple[str, str, str], ...]:
    found: list[dict[str, str]] = []
    for line in log.splitlines():
        if line.endswith(" message begin"):
            found.append({"method": "", "url": "", "body": ""})
        elif found and (span := _SPAN.fullmatch(line)):
            found[-1][span[1]] += _BREAKS[span[3]] if span[3] else span[2]
    return tuple((each["method"], each["url"], each["body"]) for each in found)


def cuts_of(data: bytes, at: Sequence[int]) -> list[bytes]:
    """Return ``data`` cut at these places (modulo its length)."""
    places = sorted({each % (len(data) + 1) for each in at} | {0, len(data)})
    return [data[first:second] for first, second in pairwise(places) if first < second]
