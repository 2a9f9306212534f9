"""Smuggled requests, and the two ends beside other readers of HTTP (specs/http-front.md).

What is expected follows from rules, never from the payloads: `plain_requests` says which requests every reader finds in
a stream; nothing else may be served, and a stream that is not made of such requests must be refused.
"""

from pathlib import Path
from typing import Any

import pytest

from nodes.https import Request, Response
from protocols.http1.refusal import Why
from tests.helpers.http_cases import (
    GOOD,
    LlhttpCase,
    Served,
    ask,
    garden_payloads,
    llhttp_cases,
    pieces_of,
    plain_requests,
    serve,
    with_host,
)
from tests.helpers.https_ends import desk
from tests.live.kit import virtual
from tests.tools.public_vectors import ROOT

FILE = ROOT / "http" / "garden-payloads.json"
FOLDER = ROOT / "http" / "llhttp"


def missing(where: Path) -> Any:
    """Return one test parameter that skips, with its reason."""
    reason = f"no public vectors in {where} (set AEROLINK_VECTORS)"
    return pytest.param(None, id=where.name, marks=pytest.mark.skip(reason=reason))


def payloads() -> list[Any]:
    """Return one parameter per payload."""
    if not FILE.is_file():
        return [missing(FILE)]
    found = [pytest.param(each, id=f"garden-{number:02}") for number, each in enumerate(garden_payloads(FILE))]
    assert found, "an empty file of payloads"
    return found


def cases(kind: str) -> list[Any]:
    """Return one parameter per case of a kind."""
    if not FOLDER.is_dir():
        return [missing(FOLDER)]
    found = [pytest.param(each, id=each.name) for each in llhttp_cases(FOLDER) if each.kind.startswith(kind)]
    assert found, "a folder without cases"
    return found


# --- payloads -----------------------------------------------------------------------------------


def variants(payload: bytes) -> list[bytes]:
    """Return the payload, and the payload with a Host, whose lack would hide what else is wrong with it."""
    return [payload] if with_host(payload) == payload else [payload, with_host(payload)]


@pytest.mark.parametrize("size", [0, 1, 7])
@pytest.mark.parametrize("payload", payloads())
def test_hf_1_3_18_a_payload_is_no_second_request(payload: bytes, size: int) -> None:
    for stream in variants(payload):
        legitimate, whole = plain_requests(stream)
        alone = serve(pieces_of(stream, size))
        assert alone.served == legitimate[: len(alone.served)]
        assert len(alone.served) <= 1
        assert whole or alone.why is not None
        behind = serve(pieces_of(GOOD + stream, size))
        assert behind.served == [Served(("POST", "/good"), b"good"), *alone.served]
        assert behind.why is alone.why


@pytest.mark.parametrize("payload", payloads())
@virtual
async def test_hf_1_34_a_payload_reaches_no_handler(payload: bytes) -> None:
    """The same over TLS, through the whole server, which lives on."""
    seen: list[Served] = []

    async def handler(request: Request) -> Response:
        target = f"{request.path}?{request.query}" if request.query else request.path
        body = await request.body.read(1_000)
        seen.append(Served((request.method, target), body))
        return Response(200)

    async with desk(handler) as place:
        for stream in variants(payload):
            legitimate, _ = plain_requests(stream)
            raw = await place.dial()
            await raw.say(GOOD + stream)
            await raw.rest()
            assert seen[0] == Served(("POST", "/good"), b"good")
            assert seen[1:] == legitimate[: len(seen) - 1]
            seen.clear()
        raw = await place.dial()
        await raw.say(GOOD)
        assert (await raw.until(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")


@pytest.mark.skipif(not FILE.is_file(), reason=f"no public vectors in {FILE} (set AEROLINK_VECTORS)")
def test_most_payloads_are_refused_at_their_first_head() -> None:
    """Each of them is an attack: were many let in, the reading above would be too generous."""
    let_in = [each for each in garden_payloads(FILE) if serve([with_host(each)]).served]
    assert len(let_in) <= len(garden_payloads(FILE)) // 10


# --- beside llhttp ------------------------------------------------------------------------------

REQUESTS_WE_REFUSE = {
    Why.CONNECTION: "llhttp takes any option; ours are close and keep-alive, there is nothing to upgrade to (HF-12)",
    Why.CONTENT_LENGTH: "llhttp takes leading zeros, which others read as octal (HF-16)",
    Why.CONTROL: "llhttp takes tabulators in values (HF-2)",
    Why.EMPTY_LINE: "llhttp passes over empty lines before a request, behind which a body could go on (HF-5)",
    Why.HOST: "llhttp does not ask for a Host (HF-11)",
    Why.LENGTH_MISSING: "llhttp takes a POST or PUT without a length as one without a body (HF-17)",
    Why.METHOD: "llhttp knows all methods of all protocols; four are in use here (HF-6)",
    Why.NON_ASCII: "llhttp takes other bytes in values and targets, whose meaning nobody has fixed (HF-2)",
    Why.REQUEST_LINE: "llhttp takes more than one space, and requests of HTTP/0.9 and of other protocols (HF-5)",
    Why.TARGET: "llhttp takes percent signs, fragments, whole addresses, authorities and stars (HF-7)",
    Why.TRANSFER_ENCODING: "llhttp reads chunks; no client of ours sends them (HF-15)",
    Why.TRUNCATED: "the case ends in the middle of a message, which llhttp has no objection to (HF-4)",
    Why.VERSION: "llhttp takes HTTP/0.9, 1.0 and 2.0 (HF-8)",
}
RESPONSES_WE_REFUSE = {
    Why.CHUNK: "llhttp takes chunk extensions, trailers and leading zeros (HF-42)",
    Why.CONNECTION: "llhttp takes any option (HF-40)",
    Why.CONTROL: "llhttp takes tabulators in values (HF-40)",
    Why.DATA_AFTER_CLOSE: "llhttp takes a second response, for which nobody has asked (HF-43)",
    Why.EMPTY_LINE: "llhttp passes over empty lines before a response (HF-40)",
    Why.FIELD_LINE: "llhttp takes names with underscores and other marks (HF-40)",
    Why.HOP_BY_HOP: "llhttp takes fields of proxies and upgrades (HF-40)",
    Why.LENGTH_MISSING: "llhttp reads a body up to the end of the stream, which anybody can bring about (HF-41)",
    Why.NON_ASCII: "llhttp takes other bytes (HF-40)",
    Why.REPEATED: "llhttp takes a name twice (HF-40)",
    Why.STATUS: "llhttp takes interim responses, upgrades, and what answers conditional requests (HF-40)",
    Why.STATUS_LINE: "llhttp takes a line without the space before the phrase, and other protocols (HF-40)",
    Why.TRANSFER_ENCODING: "llhttp takes other codings, and chunks where there is no body (HF-41)",
    Why.TRUNCATED: "llhttp is told to expect no body, as after HEAD, which is not asked here (HF-41)",
    Why.VERSION: "llhttp takes HTTP/0.9, 1.0 and 2.0, and other protocols (HF-40)",
}


def request_verdicts(case: LlhttpCase) -> set[Why]:
    """Hold our server beside llhttp; return why we refuse what it takes."""
    differences = set[Why]()
    for stream in variants(case.data):
        outcome = serve([stream])
        for served, (method, target, body) in zip(outcome.served, case.messages, strict=False):
            assert served == Served((method, target), served.body if case.bodiless else body.encode())
        whole = len(outcome.served) - (outcome.why is Why.TRUNCATED)
        assert whole <= case.complete
        if case.error or case.lenient:
            assert outcome.why is not None
        elif outcome.why is not None:
            differences.add(outcome.why)
        else:
            assert whole == case.complete
    return differences


def response_verdict(case: LlhttpCase) -> Why | None:
    """Hold our client beside llhttp; return why we refuse what it takes."""
    outcome = ask([case.data])
    assert len(outcome.served) <= case.complete
    for served, (_, _, body) in zip(outcome.served, case.messages, strict=False):
        assert served.body == body.encode() or case.bodiless
    if case.error or case.lenient:
        assert outcome.why is not None
        return None
    assert outcome.why is not None or case.complete == 1
    return outcome.why


@pytest.mark.parametrize("case", cases("request"))
def test_hf_4_requests_beside_llhttp(case: LlhttpCase) -> None:
    """We take nothing that llhttp refuses, nor what only its lenient modes take; what we refuse has a reason."""
    assert request_verdicts(case) <= REQUESTS_WE_REFUSE.keys()


@pytest.mark.parametrize("case", cases("response"))
def test_hf_40_41_42_43_responses_beside_llhttp(case: LlhttpCase) -> None:
    why = response_verdict(case)
    assert why is None or why in RESPONSES_WE_REFUSE


@pytest.mark.parametrize("case", cases("url"))
def test_hf_7_targets_beside_llhttp(case: LlhttpCase) -> None:
    """llhttp takes whole addresses and fragments, of which the target of a request to us is none."""
    outcome = serve([b"GET " + case.data + b" HTTP/1.1\r\nHost: a\r\n\r\n"])
    plain = b"%" not in case.data and b"#" not in case.data and case.data.startswith(b"/")
    assert outcome.why is None if plain and not case.error else outcome.why in {Why.TARGET, Why.CONTROL}


@pytest.mark.skipif(not FOLDER.is_dir(), reason=f"no public vectors in {FOLDER} (set AEROLINK_VECTORS)")
def test_each_reason_is_needed() -> None:
    found = list(llhttp_cases(FOLDER))
    requests = [request_verdicts(each) for each in found if each.kind.startswith("request")]
    assert set[Why]().union(*requests) == REQUESTS_WE_REFUSE.keys()
    responses = {response_verdict(each) for each in found if each.kind.startswith("response")}
    assert responses - {None} == RESPONSES_WE_REFUSE.keys()
    assert sum(not each for each in requests) > 50
