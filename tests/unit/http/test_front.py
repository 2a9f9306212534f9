"""The front check of requests, rule by rule (specs/http-front.md)."""

import pytest

from protocols.http1.front import BodySlice, HeadSlice, RequestFront
from protocols.http1.limits import MessageLimits
from protocols.http1.refusal import RefusedError, Why
from tests.helpers.http_cases import Served, pieces_of, serve

HOST = b"Host: a\r\n"
LIMITS = MessageLimits(head_bytes=300, target_bytes=20, fields=4, body_bytes=10)


def head(*fields: bytes, line: bytes = b"GET / HTTP/1.1") -> bytes:
    return b"\r\n".join((line, b"Host: a", *fields, b"", b""))


REFUSED = {
    # HF-2
    "lone-lf": (b"GET / HTTP/1.1\n" + HOST + b"\r\n", Why.BARE_LF),
    "lone-lf-in-the-line": (b"GET /\nHTTP/1.1\r\n\r\n", Why.BARE_LF),
    "lone-lf-at-the-end": (b"GET / HTTP/1.1\r\n" + HOST + b"\n", Why.BARE_LF),
    "lone-cr": (head(b"A: 1\rB: 2"), Why.BARE_CR),
    "two-cr": (b"GET / HTTP/1.1\r\r\n" + HOST + b"\r\n", Why.BARE_CR),
    "nul": (head(b"A: b\x00"), Why.CONTROL),
    "tabulator": (head(b"A:\tb"), Why.CONTROL),
    "delete": (head(b"A: \x7f"), Why.CONTROL),
    "latin-1": (head(b"A: \x85"), Why.NON_ASCII),
    "utf-8": (b"GET /\xc3\xa4 HTTP/1.1\r\n", Why.NON_ASCII),
    # HF-4
    "end-in-the-head": (b"GET / HTTP/1.1\r\nHo", Why.TRUNCATED),
    "end-behind-a-line": (b"GET / HTTP/1.1\r\n", Why.TRUNCATED),
    "end-behind-a-cr": (head()[:-1], Why.TRUNCATED),
    # HF-5
    "empty-line": (b"\r\n" + head(), Why.EMPTY_LINE),
    "two-parts": (head(line=b"GET /"), Why.REQUEST_LINE),
    "two-spaces": (head(line=b"GET  / HTTP/1.1"), Why.REQUEST_LINE),
    "no-target": (head(line=b"GET  HTTP/1.1"), Why.REQUEST_LINE),
    "space-before": (head(line=b" GET / HTTP/1.1"), Why.REQUEST_LINE),
    "space-behind": (head(line=b"GET / HTTP/1.1 "), Why.REQUEST_LINE),
    "no-token": (head(line=b"G@T / HTTP/1.1"), Why.REQUEST_LINE),
    "no-version": (head(line=b"GET / HTTP"), Why.REQUEST_LINE),
    "small-version": (head(line=b"GET / http/1.1"), Why.REQUEST_LINE),
    # HF-6
    "head": (head(line=b"HEAD / HTTP/1.1"), Why.METHOD),
    "connect": (head(line=b"CONNECT a:443 HTTP/1.1"), Why.METHOD),
    "small-method": (head(line=b"get / HTTP/1.1"), Why.METHOD),
    # HF-7
    "star": (head(line=b"GET * HTTP/1.1"), Why.TARGET),
    "absolute": (head(line=b"GET http://a/ HTTP/1.1"), Why.TARGET),
    "percent": (head(line=b"GET /%2e HTTP/1.1"), Why.TARGET),
    "fragment": (head(line=b"GET /#a HTTP/1.1"), Why.TARGET),
    "two-queries": (head(line=b"GET /?a?b HTTP/1.1"), Why.TARGET),
    "empty-query": (head(line=b"GET /a? HTTP/1.1"), Why.TARGET),
    "dots": (head(line=b"GET /a/../b HTTP/1.1"), Why.TARGET),
    "dot-at-the-end": (head(line=b"GET /a/. HTTP/1.1"), Why.TARGET),
    "dots-before-a-query": (head(line=b"GET /..?a HTTP/1.1"), Why.TARGET),
    "long-target": (head(line=b"GET /" + b"a" * 20 + b" HTTP/1.1"), Why.TARGET_TOO_LONG),
    # HF-8
    "version-1.0": (head(line=b"GET / HTTP/1.0"), Why.VERSION),
    "version-1.10": (head(line=b"GET / HTTP/1.10"), Why.VERSION),
    "version-2.0": (head(line=b"PRI * HTTP/2.0"), Why.VERSION),
    # HF-9
    "no-colon": (head(b"A"), Why.FIELD_LINE),
    "no-name": (head(b": a"), Why.FIELD_LINE),
    "space-before-the-colon": (head(b"A : b"), Why.FIELD_LINE),
    "underscore": (head(b"Content_Length: 3"), Why.FIELD_LINE),
    "folded": (head(b"A: b", b" c"), Why.FOLDED),
    "folded-name": (head(b" A: b"), Why.FOLDED),
    # HF-10
    "twice": (head(b"A: b", b"a: b"), Why.REPEATED),
    "host-twice": (head(b"host: a"), Why.REPEATED),
    # HF-11
    "no-host": (b"GET / HTTP/1.1\r\n\r\n", Why.HOST),
    "empty-host": (b"GET / HTTP/1.1\r\nHost:\r\n\r\n", Why.HOST),
    "odd-host": (b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", Why.HOST),
    "odd-port": (b"GET / HTTP/1.1\r\nHost: a:1b\r\n\r\n", Why.HOST),
    # HF-12
    "connection-upgrade": (head(b"Connection: upgrade"), Why.CONNECTION),
    "connection-list": (head(b"Connection: close, content-length"), Why.CONNECTION),
    "data-after-close": (head(b"Connection: close") + b"G", Why.DATA_AFTER_CLOSE),
    # HF-13
    "upgrade": (head(b"Upgrade: h2c"), Why.HOP_BY_HOP),
    "te": (head(b"TE: trailers"), Why.HOP_BY_HOP),
    "trailer": (head(b"Trailer: a"), Why.HOP_BY_HOP),
    "keep-alive": (head(b"Keep-Alive: 1"), Why.HOP_BY_HOP),
    "proxy-connection": (head(b"Proxy-Connection: close"), Why.HOP_BY_HOP),
    "http2-settings": (head(b"HTTP2-Settings: a"), Why.HOP_BY_HOP),
    # HF-14
    "expect-nothing": (head(b"Expect: 100-continue"), Why.EXPECT),
    "expect-nothing-of-a-post": (
        head(b"Expect: 100-continue", b"Content-Length: 0", line=b"POST / HTTP/1.1"),
        Why.EXPECT,
    ),
    "expect-other": (head(b"Content-Length: 1", b"Expect: 100-continue, x", line=b"PUT / HTTP/1.1") + b"a", Why.EXPECT),
    # HF-15
    "chunked": (head(b"Transfer-Encoding: chunked"), Why.TRANSFER_ENCODING),
    "identity": (head(b"transfer-encoding: identity"), Why.TRANSFER_ENCODING),
    "empty-coding": (head(b"Transfer-Encoding:"), Why.TRANSFER_ENCODING),
    "both-lengths": (
        head(b"Content-Length: 1", b"Transfer-Encoding: x", line=b"PUT / HTTP/1.1"),
        Why.TRANSFER_ENCODING,
    ),
    # HF-16
    **{
        f"length-{name}": (head(b"Content-Length:" + value, line=b"PUT / HTTP/1.1"), Why.CONTENT_LENGTH)
        for name, value in {
            "empty": b"",
            "sign": b" +1",
            "minus": b" -1",
            "list": b" 1, 1",
            "zeros": b" 01",
            "hex": b" 0x1",
            "letters": b" 1Z",
            "space": b" 1 1",
            "underscore": b" 1_0",
            "huge": b" 1000000000000000",
        }.items()
    },
    "length-twice": (head(b"Content-Length: 1", b"content-length: 1"), Why.CONTENT_LENGTH),
    # HF-17
    "post-without-length": (head(line=b"POST / HTTP/1.1"), Why.LENGTH_MISSING),
    "put-without-length": (head(line=b"PUT / HTTP/1.1"), Why.LENGTH_MISSING),
    "get-with-a-body": (head(b"Content-Length: 1"), Why.BODY_UNEXPECTED),
    "delete-with-a-body": (head(b"Content-Length: 1", line=b"DELETE / HTTP/1.1"), Why.BODY_UNEXPECTED),
    # HF-20, HF-21
    "long-head": (head(b"A: " + b"a" * 300), Why.HEAD_TOO_LARGE),
    "long-line": (b"G" * 301, Why.HEAD_TOO_LARGE),
    "many-fields": (head(b"A:", b"B:", b"C:", b"D:"), Why.TOO_MANY_FIELDS),
    "large-body": (head(b"Content-Length: 11", line=b"PUT / HTTP/1.1"), Why.BODY_TOO_LARGE),
}
TAKEN = {
    "get": (head(), ("GET", "/"), b""),
    "query": (head(line=b"GET /a/b.c?d=e HTTP/1.1"), ("GET", "/a/b.c?d=e"), b""),
    "dots-in-names": (head(line=b"GET /.a/..b/c.. HTTP/1.1"), ("GET", "/.a/..b/c.."), b""),
    "delete-without-a-body": (head(b"Content-Length: 0", line=b"DELETE /a HTTP/1.1"), ("DELETE", "/a"), b""),
    "put": (head(b"content-length:  3 ", line=b"PUT /a HTTP/1.1") + b"\r\n\xff", ("PUT", "/a"), b"\r\n\xff"),
    "expect": (
        head(b"Expect: 100-Continue", b"Content-Length: 1", line=b"PUT / HTTP/1.1") + b"a",
        ("PUT", "/"),
        b"a",
    ),
    "close": (head(b"Connection: Close"), ("GET", "/"), b""),
    "keep-alive": (head(b"connection: keep-alive"), ("GET", "/"), b""),
    "address-and-port": (b"GET / HTTP/1.1\r\nHost: [::1]:443\r\n\r\n", ("GET", "/"), b""),
    "empty-value": (head(b"A:", b"B: c: d"), ("GET", "/"), b""),
}


@pytest.mark.parametrize("size", [0, 1])
@pytest.mark.parametrize("name", REFUSED)
def test_hf_2_21_what_is_refused_and_why(name: str, size: int) -> None:
    """HF-2 to HF-21."""
    stream, why = REFUSED[name]
    outcome = serve(pieces_of(stream, size), LIMITS)
    assert outcome.why is why
    assert not outcome.served or why is Why.DATA_AFTER_CLOSE
    behind = serve(pieces_of(head(line=b"GET /first HTTP/1.1") + stream, size), LIMITS)  # HF-1
    assert behind.why is why
    assert behind.served[0] == Served(("GET", "/first"), b"")
    assert behind.served[1:] == outcome.served


@pytest.mark.parametrize("size", [0, 1])
@pytest.mark.parametrize("name", TAKEN)
def test_hf_5_7_9_what_is_taken(name: str, size: int) -> None:
    stream, start, body = TAKEN[name]
    outcome = serve(pieces_of(stream, size), LIMITS)
    assert outcome.why is None
    assert outcome.served == [Served(start, body)]


def test_hf_1_slices_are_cut_exactly() -> None:
    first = head(b"Content-Length: 3", line=b"PUT /a HTTP/1.1")
    front = RequestFront(LIMITS)
    assert front.next_untrusted() is None
    front.receive(first + b"abcGET /b HTTP/1.1\r\n" + HOST + b"\r\nG")
    assert front.next_untrusted() == HeadSlice(first, 3)
    assert front.next_untrusted() == BodySlice(b"abc", last=True)
    assert front.next_untrusted() == HeadSlice(head(line=b"GET /b HTTP/1.1"), 0)
    assert front.next_untrusted() is None
    with pytest.raises(RefusedError) as caught:
        front.end_untrusted()
    assert caught.value.why is Why.TRUNCATED


def test_hf_18_a_body_comes_in_parts() -> None:
    front = RequestFront(LIMITS)
    front.receive(head(b"Content-Length: 3", line=b"PUT /a HTTP/1.1"))
    assert isinstance(front.next_untrusted(), HeadSlice)
    assert front.next_untrusted() is None
    front.receive(b"a")
    assert front.next_untrusted() == BodySlice(b"a", last=False)
    with pytest.raises(RefusedError, match="in the middle"):
        front.end_untrusted()


def test_hf_4_a_refusal_is_for_ever() -> None:
    front = RequestFront(LIMITS)
    front.receive(b"\n")
    for _ in range(2):
        with pytest.raises(RefusedError, match="line feed"):
            front.next_untrusted()
        front.receive(head())
    with pytest.raises(RefusedError, match="line feed"):
        front.end_untrusted()


def test_hf_4_12_a_stream_may_end_between_requests() -> None:
    front = RequestFront(LIMITS)
    front.end_untrusted()
    front.receive(head(b"Connection: close"))
    assert isinstance(front.next_untrusted(), HeadSlice)
    front.end_untrusted()
    front.receive(b"x")
    with pytest.raises(RefusedError, match="behind the last"):
        front.end_untrusted()


def test_hf_12_nothing_may_follow_the_last_request() -> None:
    front = RequestFront(LIMITS)
    front.receive(head(b"Connection: close") + head())
    assert isinstance(front.next_untrusted(), HeadSlice)
    with pytest.raises(RefusedError, match="behind the last"):
        front.next_untrusted()


def test_hf_20_limits_are_reached_exactly() -> None:
    room = LIMITS.head_bytes - len(head(b"A: "))
    assert serve([head(b"A: " + b"a" * room)], LIMITS).why is None
    for size in (0, 1):
        assert serve(pieces_of(head(b"A: " + b"a" * (room + 1)), size), LIMITS).why is Why.HEAD_TOO_LARGE
    at_the_cr = b"GET / HTTP/1.1\r\nA: " + b"a" * (LIMITS.head_bytes - 20) + b"\r\n"
    assert len(at_the_cr) == LIMITS.head_bytes + 1
    for size in (0, 1):
        assert serve(pieces_of(at_the_cr, size), LIMITS).why is Why.HEAD_TOO_LARGE
    assert serve([head(b"A:", b"B:", b"C:")], LIMITS).why is None
    assert serve([head(b"Content-Length: 10", line=b"PUT / HTTP/1.1") + bytes(10)], LIMITS).why is None


def test_every_reason_has_a_status_and_words() -> None:
    for why in Why:
        assert 400 <= why.status < 600
        assert why.text.isprintable()
