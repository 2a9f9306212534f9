"""The two ends, sans-I/O: what they say, and what the client takes (specs/http-front.md, HF-36 to HF-44)."""

import h11
import pytest

from protocols.errors import UsageError
from protocols.http1 import checked
from protocols.http1.client import ClientConnection
from protocols.http1.events import BodyPiece, MessageEnd, RequestHead, ResponseHead
from protocols.http1.front import HeadSlice
from protocols.http1.limits import MessageLimits
from protocols.http1.refusal import RefusedError, Why
from protocols.http1.server import ServerConnection
from tests.helpers.http_cases import Served, ask, pieces_of, serve

LIMITS = MessageLimits(head_bytes=300, target_bytes=20, fields=4, body_bytes=10)
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
GET = b"GET /a?b HTTP/1.1\r\nHost: a\r\n\r\n"
PUT = b"PUT /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n"

REFUSED = {
    # HF-40
    "version": (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", Why.VERSION),
    "no-space": (b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", Why.STATUS_LINE),
    "no-status": (b"HTTP/1.1 2000 OK\r\n\r\n", Why.STATUS_LINE),
    "empty-line": (b"\r\n" + OK, Why.EMPTY_LINE),
    "lone-lf": (b"HTTP/1.1 200 OK\n", Why.BARE_LF),
    "latin-1": (b"HTTP/1.1 200 \xe4\r\n", Why.NON_ASCII),
    "interim": (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, Why.STATUS),
    "upgrade": (b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n", Why.STATUS),
    "reset": (b"HTTP/1.1 205 Reset\r\nContent-Length: 0\r\n\r\n", Why.STATUS),
    "unmodified": (b"HTTP/1.1 304 x\r\n\r\n", Why.STATUS),
    "six-hundred": (b"HTTP/1.1 600 x\r\n\r\n", Why.STATUS),
    "twice": (OK + b"A: b\r\na: b\r\n\r\n", Why.REPEATED),
    "trailer": (OK + b"Trailer: b\r\n\r\n", Why.HOP_BY_HOP),
    # HF-41
    "no-length": (OK + b"\r\nabc", Why.LENGTH_MISSING),
    "both-lengths": (OK + b"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n", Why.TRANSFER_ENCODING),
    "other-coding": (OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n", Why.TRANSFER_ENCODING),
    "other-spelling": (OK + b"Transfer-Encoding: Chunked\r\n\r\n", Why.TRANSFER_ENCODING),
    "chunked-204": (b"HTTP/1.1 204 x\r\nTransfer-Encoding: chunked\r\n\r\n", Why.TRANSFER_ENCODING),
    "long-204": (b"HTTP/1.1 204 x\r\nContent-Length: 1\r\n\r\n", Why.BODY_UNEXPECTED),
    "end-in-the-body": (OK + b"Content-Length: 2\r\n\r\na", Why.TRUNCATED),
    "end-in-the-head": (OK, Why.TRUNCATED),
    "end-in-chunks": (CHUNKED + b"1\r\na\r\n", Why.TRUNCATED),
    # HF-42
    "chunk-extension": (CHUNKED + b"1;a=b\r\na\r\n0\r\n\r\n", Why.CHUNK),
    "chunk-space": (CHUNKED + b"1 \r\na\r\n0\r\n\r\n", Why.CHUNK),
    "chunk-zeros": (CHUNKED + b"01\r\na\r\n0\r\n\r\n", Why.CHUNK),
    "chunk-lf": (CHUNKED + b"1\na\r\n0\r\n\r\n", Why.CHUNK),
    "chunk-too-short": (CHUNKED + b"2\r\na\r\n0\r\n\r\n", Why.CHUNK),
    "chunk-too-long": (CHUNKED + b"1\r\nab\r\n0\r\n\r\n", Why.CHUNK),
    "chunk-end-missing": (CHUNKED + b"1\r\naabc", Why.CHUNK),
    "chunk-huge": (CHUNKED + b"100000000\r\n", Why.CHUNK),
    "trailers": (CHUNKED + b"0\r\nA: b\r\n\r\n", Why.CHUNK),
    "last-chunk-zeros": (CHUNKED + b"00\r\n\r\n", Why.CHUNK),
    # HF-43
    "behind-the-end": (OK + b"Content-Length: 0\r\n\r\nx", Why.DATA_AFTER_CLOSE),
    "behind-the-last-chunk": (CHUNKED + b"0\r\n\r\n\r\n", Why.DATA_AFTER_CLOSE),
    # HF-44
    "long-head": (OK + b"A: " + b"a" * 300, Why.HEAD_TOO_LARGE),
    "many-fields": (OK + b"A:\r\nB:\r\nC:\r\nD:\r\nE:\r\n\r\n", Why.TOO_MANY_FIELDS),
    "long-body": (OK + b"Content-Length: 11\r\n\r\n", Why.BODY_TOO_LARGE),
    "long-chunk": (CHUNKED + b"b\r\n", Why.BODY_TOO_LARGE),
    "long-chunks": (CHUNKED + b"6\r\nabcdef\r\n5\r\n", Why.BODY_TOO_LARGE),
}
TAKEN = {
    "length": (OK + b"Content-Length: 3\r\n\r\nabc", "200", b"abc"),
    "nothing": (b"HTTP/1.1 404 \r\ncontent-length: 0\r\n\r\n", "404", b""),
    "204": (b"HTTP/1.1 204 No Content\r\n\r\n", "204", b""),
    "chunks": (CHUNKED + b"1\r\na\r\n8\r\n\r\n\r\n\r\n\r\n\r\n0\r\n\r\n", "200", b"a" + b"\r\n" * 4),
    "no-chunks": (CHUNKED + b"0\r\n\r\n", "200", b""),
}


@pytest.mark.parametrize("size", [0, 1])
@pytest.mark.parametrize("name", REFUSED)
def test_hf_40_44_what_the_client_refuses_and_why(name: str, size: int) -> None:
    """HF-40 to HF-44."""
    stream, why = REFUSED[name]
    outcome = ask(pieces_of(stream, size), LIMITS)
    assert outcome.why is why
    assert not outcome.served or why is Why.DATA_AFTER_CLOSE


@pytest.mark.parametrize("size", [0, 1])
@pytest.mark.parametrize("name", TAKEN)
def test_hf_41_42_what_the_client_takes(name: str, size: int) -> None:
    stream, status, body = TAKEN[name]
    outcome = ask(pieces_of(stream, size), LIMITS)
    assert outcome.why is None
    assert outcome.served == [Served((status, ""), body)]


def test_hf_40_a_refusal_is_for_ever() -> None:
    client = ClientConnection(MessageLimits())
    client.request("GET", "/", {"Host": "a"})
    client.receive(b"\n")
    for _ in range(2):
        with pytest.raises(RefusedError, match="line feed"):
            client.next_event_untrusted()
        client.receive(OK)


def test_hf_44_a_stream_is_bounded_by_the_chunk() -> None:
    many = b"a\r\n0123456789\r\n" * 20
    assert ask([CHUNKED + many + b"0\r\n\r\n"], LIMITS, streaming=True).served[0].body == b"0123456789" * 20
    assert ask([CHUNKED + many + b"b\r\n"], LIMITS, streaming=True).why is Why.BODY_TOO_LARGE
    long = OK + b"Content-Length: 20\r\n\r\n" + bytes(20)
    assert ask([long], LIMITS, streaming=True).why is None


# --- the server's answers -----------------------------------------------------------------------


def asked(stream: bytes = GET) -> ServerConnection:
    machine = ServerConnection(LIMITS)
    machine.receive(stream)
    while machine.next_event_untrusted() is not None:
        pass
    return machine


def test_hf_36_an_answer_has_a_length() -> None:
    answer = asked().answer(200, {"A": "b"}, b"hello")
    assert answer == b"HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 5\r\n\r\nhello"
    assert asked().answer(204, {}, b"") == b"HTTP/1.1 204 No Content\r\n\r\n"


def test_hf_36_an_answer_in_pieces_is_chunked() -> None:
    machine = asked()
    parts = (machine.begin(200, {}), machine.piece(b"ab"), machine.piece(b""), machine.end())
    assert b"".join(parts) == CHUNKED + b"2\r\nab\r\n0\r\n\r\n"
    assert machine.next_cycle()


def test_hf_23_requests_follow_each_other() -> None:
    machine = asked(GET + PUT + b"abc")
    assert machine.whole
    machine.answer(200, {}, b"")
    assert machine.next_cycle()
    events = [machine.next_event_untrusted() for _ in range(4)]
    assert events == [
        RequestHead("PUT", "/a", "", {"host": "a", "content-length": "3"}, 3),
        BodyPiece(b"abc"),
        MessageEnd(),
        None,
    ]


@pytest.mark.parametrize("stream", [GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"), PUT + b"ab"])
def test_hf_12_36_the_last_answer_says_so(stream: bytes) -> None:
    """The peer wants to close; or the rest of a body might follow, which nobody wants to read."""
    machine = asked(stream)
    assert b"\r\nConnection: close\r\n" in machine.answer(200, {}, b"")
    assert not machine.next_cycle()


@pytest.mark.parametrize("first", [b"", GET])
def test_hf_4_a_refusal_is_answered_and_is_the_last(first: bytes) -> None:
    machine = ServerConnection(LIMITS)
    machine.receive(first + b"x\r\n")
    if first:
        while machine.next_event_untrusted() is not None:
            pass
        machine.answer(200, {}, b"")
        assert machine.next_cycle()
    with pytest.raises(RefusedError) as caught:
        machine.next_event_untrusted()
    assert machine.must_close
    answer = machine.answer(caught.value.why.status, {}, b"")
    assert answer == b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    assert not machine.next_cycle()
    with pytest.raises(RefusedError):
        machine.next_event_untrusted()


@pytest.mark.parametrize("status", [100, 101, 205, 299, 304, 600])
def test_hf_36_no_answer_has_an_odd_status(status: int) -> None:
    machine = asked()
    with pytest.raises(UsageError):
        machine.answer(status, {}, b"")
    assert machine.answer(500, {}, b"").startswith(b"HTTP/1.1 500 ")


def test_hf_36_no_answer_has_odd_fields() -> None:
    machine = asked()
    with pytest.raises(UsageError):
        machine.answer(200, {"A": "b\r\nC: d"}, b"")
    assert machine.answer(500, {}, b"").startswith(b"HTTP/1.1 500 ")


@pytest.mark.parametrize("piece", [HeadSlice(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 5), HeadSlice(b"G\r\n\r\n", 0)])
def test_hf_19_the_two_readers_must_agree(piece: HeadSlice) -> None:
    """Nothing is known that passes the check and is read otherwise by h11: so the check is made to lie."""
    with pytest.raises(RefusedError, match="do not agree"):
        checked.read_untrusted(h11.Connection(h11.SERVER), piece)


# --- the client's requests ----------------------------------------------------------------------


def test_hf_17_what_the_client_asks_is_what_the_server_takes() -> None:
    client = ClientConnection(MessageLimits())
    stream = b""
    for method, body in (("GET", b""), ("POST", b""), ("PUT", b"abc"), ("DELETE", b"")):
        stream += client.request(method, "/a?b=c", {"Host": "a:1", "X": "y"}, body)
        client.receive(OK + b"Content-Length: 0\r\n\r\n")
        events = [client.next_event_untrusted() for _ in range(3)]
        assert events == [ResponseHead(200, {"content-length": "0"}), MessageEnd(), None]
        assert client.reusable
    outcome = serve([stream])
    assert outcome.why is None
    assert [each.start for each in outcome.served] == [(each, "/a?b=c") for each in ("GET", "POST", "PUT", "DELETE")]
    assert [each.body for each in outcome.served] == [b"", b"", b"abc", b""]


@pytest.mark.parametrize(
    "answer", [OK, OK + b"Content-Length: 0\r\nConnection: close\r\n\r\n", OK + b"Content-Length: 0\r\n\r\nx"]
)
def test_hf_43_47_a_connection_is_used_again_when_nothing_stands_behind_the_answer(answer: bytes) -> None:
    client = ClientConnection(MessageLimits())
    client.request("GET", "/", {"Host": "a"})
    client.receive(answer)
    for _ in range(2):
        client.next_event_untrusted()
    assert not client.reusable
    with pytest.raises(UsageError):
        client.request("GET", "/", {"Host": "a"})


@pytest.mark.parametrize(
    ("method", "target", "headers"), [("GET", "/ HTTP/1.1", {}), ("G T", "/", {}), ("GET", "/", {"A": "b\n"})]
)
def test_a_request_that_is_none_is_refused_here(method: str, target: str, headers: dict[str, str]) -> None:
    with pytest.raises(UsageError):
        ClientConnection(MessageLimits()).request(method, target, {"Host": "a", **headers})
