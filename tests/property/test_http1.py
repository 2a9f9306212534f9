"""HTTP: no bytes give more requests than everybody finds in them, and no cut of a stream changes the verdict."""

from hypothesis import example, given
from hypothesis import strategies as st

from protocols.http1.limits import MessageLimits
from protocols.http1.refusal import Why
from tests.helpers.http_cases import GOOD, Outcome, ask, cuts_of, plain_requests, serve

SMALL = MessageLimits(head_bytes=200, target_bytes=30, fields=5, body_bytes=50)
_LINES = st.sampled_from(
    (
        b"GET / HTTP/1.1",
        b"POST /a HTTP/1.1",
        b"PUT /b?c HTTP/1.1",
        b"DELETE /d HTTP/1.1",
        b"GET / HTTP/1.0",
        b"GET  / HTTP/1.1",
        b"PATCH / HTTP/1.1",
        b"GET /%00 HTTP/1.1",
        b"GET /.. HTTP/1.1",
        b"PRI * HTTP/2.0",
        b"GET /",
        b"",
        b"Host: a",
        b"Host: b",
        b"host : a",
        b"Content-Length: 0",
        b"Content-Length: 5",
        b"content-length: 27",
        b"Content-Length: 5, 5",
        b"Content-Length: +5",
        b"Content-Length:\t5",
        b"Content-Length: 05",
        b"Content_Length: 3",
        b"Transfer-Encoding: chunked",
        b"Transfer-Encoding : chunked",
        b"Transfer-Encoding: identity",
        b" folded: 1",
        b"Connection: close",
        b"Connection: keep-alive",
        b"Connection: content-length",
        b"Upgrade: h2c",
        b"Expect: 100-continue",
        b"X:",
        b"X: y\x00",
        b"X: \xff",
        b": x",
        b"x",
        b"0",
        b"5",
        b"hello",
        b"5;a=b",
    )
)
_ENDS = st.sampled_from((b"\r\n", b"\r\n", b"\r\n", b"\r\n", b"\r\n\r\n", b"\n", b"\r", b"\r\r\n", b""))
TEXTS = st.lists(st.tuples(_LINES, _ENDS), max_size=14).map(lambda parts: b"".join(a + b for a, b in parts))


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """Good requests, one behind the other, with some bytes changed, left out or put in."""
    heads = (GOOD, b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n", b"PUT /y HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi")
    stream = bytearray(b"".join(draw(st.lists(st.sampled_from(heads), min_size=1, max_size=4))))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(stream) - 1))
        stream[at : at + draw(st.integers(0, 2))] = draw(
            st.sampled_from((b"", b"\r", b"\n", b" ", b"0", b"\x00", b":"))
        )
        stream = stream or bytearray(b"x")
    return bytes(stream)


STREAMS = st.one_of(st.binary(max_size=200), TEXTS, mutated())
CUTS = st.lists(st.integers(0, 400), max_size=20)


def never_more_than_everybody_finds(stream: bytes) -> Outcome:
    outcome = serve([stream] if stream else [])
    legitimate, whole = plain_requests(stream)
    assert outcome.served == legitimate[: len(outcome.served)]
    assert whole or outcome.why is not None
    return outcome


@given(STREAMS)
@example(b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n")
def test_hf_1_18_no_stream_gives_more_requests_than_everybody_finds(stream: bytes) -> None:
    never_more_than_everybody_finds(stream)


@given(mutated())
def test_hf_18_what_stands_behind_a_request_changes_nothing_of_it(stream: bytes) -> None:
    alone, behind = never_more_than_everybody_finds(stream), serve([GOOD + stream])
    assert behind.served[1:] == alone.served
    assert behind.why is alone.why


@given(STREAMS, CUTS, st.sampled_from((SMALL, MessageLimits())))
def test_hf_3_no_cut_changes_the_verdict_on_requests(stream: bytes, at: list[int], limits: MessageLimits) -> None:
    whole = serve([stream] if stream else [], limits)
    assert serve(cuts_of(stream, at), limits) == whole
    assert serve([bytes((each,)) for each in stream], limits) == whole


_ANSWERS = st.sampled_from(
    (
        b"HTTP/1.1 200 OK",
        b"HTTP/1.1 204 ",
        b"HTTP/1.1 100 Continue",
        b"HTTP/1.0 200 OK",
        b"HTTP/1.1 304 x",
        b"HTTP/1.1 200",
        b"Content-Length: 5",
        b"Content-Length: 0",
        b"Transfer-Encoding: chunked",
        b"Transfer-Encoding: gzip, chunked",
        b"Connection: close",
        b"Trailer: x",
        b"A: b",
        b"a: c",
        b"5",
        b"hello",
        b"0",
        b"05",
        b"5;x",
        b"5 ",
        b"3",
        b"abc",
        b"ffffffff",
        b"",
    )
)
ANSWERS = st.one_of(
    st.binary(max_size=200),
    st.lists(st.tuples(_ANSWERS, _ENDS), max_size=12).map(lambda parts: b"".join(a + b for a, b in parts)),
    st.lists(_ANSWERS, max_size=6).map(
        lambda parts: b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"\r\n".join((*parts, b"0", b"", b""))
    ),
)


@given(ANSWERS, CUTS, st.booleans(), st.sampled_from((SMALL, MessageLimits())))
def test_hf_3_40_no_cut_changes_the_verdict_on_responses(
    stream: bytes, at: list[int], streaming: bool, limits: MessageLimits
) -> None:
    whole = ask([stream] if stream else [], limits, streaming=streaming)
    for pieces in (cuts_of(stream, at), [bytes((each,)) for each in stream]):
        outcome = ask(pieces, limits, streaming=streaming)
        assert outcome.served == whole.served
        assert outcome.why is whole.why
    assert len(whole.served) <= 1


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=8), CUTS)
def test_hf_42_chunks_are_joined(pieces: list[bytes], at: list[int]) -> None:
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(each), each) for each in (*pieces, b""))
    outcome = ask(cuts_of(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks, at))
    assert outcome.why is None
    assert [each.body for each in outcome.served] == [b"".join(pieces)]
    assert ask([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0"]).why is Why.DATA_AFTER_CLOSE
