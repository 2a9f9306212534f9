"""Handshake packets that must be refused: one scenario each (specs/1-link.md, 1.2 to 1.4)."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from tests.tools.make_vectors import packets
from tests.tools.make_vectors.base import DRONE, RC, Json, flip, hkdf, secret
from tests.tools.make_vectors.handshakes import Case, cases
from tests.tools.make_vectors.mlkem import encapsulate
from tests.tools.make_vectors.noise import SUITES, kem_public_of
from tests.tools.make_vectors.packets import PAIRING

_SENDERS: Final = {"initiation": "initiator", "response": "responder", "finish": "initiator"}
_PLACES: Final = {"initiation": 0, "response": 1, "finish": 2}
_OTHER_INDEX: Final = 0x0BAD0BAD


def vectors() -> list[Json]:
    """Return every failure: the whole list for the classical suites, what the KEM adds for the others."""
    found: list[Json] = []
    for suite in SUITES:
        pairing, session, rekey = cases(suite)
        for case in (pairing, session):
            if suite.hybrid:
                found += _kem(case)
                continue
            found += [*_initiation(case), *_initiation_payload(case), *_any_message(case, "initiation")]
            found += [*_response(case), *_any_message(case, "response")]
        if not suite.hybrid:
            found += [*_session(session), *_rekey(rekey), *_finish(pairing), *_any_message(pairing, "finish")]
            found.append(_made(pairing, "initiation", "no code is active", pairing.bodies[0], "pairing closed",
                               pairing_open=False))  # fmt: skip
    return found


def _made(
    case: Case, message: str, what: str, body: bytes, expect: str, *,
    datagram: bytes | None = None, record: bool = True, refused: int = 0, **more: object,
) -> Json:  # fmt: skip
    if datagram is None:
        wrap = packets.initiation if message == "initiation" else packets.with_mac1
        datagram = wrap(body, case.response_mac1_key if message == "response" else case.mac1_key)
    result: Json = {
        "name": f"{message} of {case.name}: {what}",
        "handshake": case.name,
        "message": message,
        "datagram": datagram,
        "record": packets.record(body) if record and not case.suite.hybrid else None,
        "expect": expect,
    }
    if refused:
        answer = packets.refused(refused, case.sender, case.mac1_key)
        result |= {"answer_datagram": answer, "answer_record": packets.record(answer)}
    return result | more


def _any_message(case: Case, message: str) -> Iterator[Json]:
    """Yield what can happen to each of the three messages."""
    body = case.bodies[_PLACES[message]]
    head = 16 if message == "initiation" else 12
    good = _made(case, message, "", body, "")["datagram"]
    mac_at = len(body)

    def made(what: str, changed: bytes, expect: str, **more: object) -> Json:
        return _made(case, message, what, changed, expect, **more)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]

    yield made("first bit of mac1", body, "mac1", datagram=flip(good, mac_at, 7), record=False)
    yield made("last bit of mac1", body, "mac1", datagram=flip(good, mac_at + 15), record=False)
    yield made("a bit of the body under the old mac1", body, "mac1", datagram=flip(good, head), record=False)
    wrong = hkdf(secret("another responder"), b"", b"mac1")
    stranger = packets.initiation(body, wrong) if message == "initiation" else packets.with_mac1(body, wrong)
    yield made("mac1 of another responder or code", body, "mac1", datagram=stranger, record=False)
    if message == "response" and not case.code:
        known = packets.with_mac1(body, case.mac1_key)
        yield made("mac1 of whoever knows the responder's public key", body, "mac1", datagram=known, record=False)
    yield made("one byte less", body[:-1], "length")
    yield made("one byte more", body + b"\0", "length")
    yield made("a header and nothing else", body[:head], "length")
    yield made("sender index 0", body[:4] + bytes(4) + body[8:], "header")
    yield made("a packet type that does not exist", b"\x07" + body[1:], "unknown type")
    yield made("last bit of the last tag", flip(body, len(body) - 1), "decrypt")
    if message != "initiation":
        for at in (1, 2, 3):
            yield made(f"reserved byte {at}", flip(body, at), "reserved bits")
        yield made("another receiver index", body[:8] + _OTHER_INDEX.to_bytes(4, "big") + body[12:], "unknown index")
        yield made("receiver index 0", body[:8] + bytes(4) + body[12:], "header")
    if message != "finish":
        yield from _ephemeral(case, message, body, head)
    yield from _sealed(case, message, body)


def _ephemeral(case: Case, message: str, body: bytes, head: int) -> Iterator[Json]:
    name = "e_i" if message == "initiation" else "e_r"
    if case.suite.p256:
        at = head + 64
        yield _made(case, message, "ephemeral key: not on the curve", flip(body, at), "bad key")
        yield _made(case, message, "ephemeral key: compressed form", flip(body, head, 1), "bad key")
        infinity = body[:head] + bytes(65) + body[head + 65 :]
        yield _made(case, message, "ephemeral key: the point at infinity", infinity, "bad key")
        return
    yield _made(case, message, "a bit of the ephemeral key", flip(body, head), "decrypt")
    low = case.again({name: bytes(32)}).bodies[_PLACES[message]]
    yield _made(case, message, "ephemeral key: low order", low, "bad key")


def _sealed(case: Case, message: str, body: bytes) -> Iterator[Json]:
    """Yield static keys: damaged, and properly encrypted ones that are no keys."""
    suite, pairing = case.suite, case.kind == PAIRING
    if pairing == (message == "initiation") or (message == "response" and not pairing):
        return  # this message holds no static key
    head = {"initiation": 16 + suite.dh_bytes, "response": 12 + suite.dh_bytes, "finish": 12}[message]
    yield _made(case, message, "a bit of the encrypted static key", flip(body, head + 3), "decrypt")
    yield _made(case, message, "a bit of the static key's tag", flip(body, head + suite.dh_bytes), "decrypt")
    who = "static_r" if message == "response" else "static_i"
    wrong = {True: b"\x04" + bytes(63) + b"\x01", False: bytes(32)}[suite.p256]
    what = "not on the curve" if suite.p256 else "low order"
    forged = case.again({who: wrong}).bodies[_PLACES[message]]
    yield _made(case, message, f"static key: {what}, properly encrypted", forged, "bad key")


def _initiation(case: Case) -> Iterator[Json]:
    """Yield headers that say something else, and prologues that the header does not say."""
    body = case.bodies[0]

    def made(what: str, at: int, value: int, expect: str, refused: int = 0) -> Json:
        changed = body[:at] + bytes((value,)) + body[at + 1 :]
        return _made(case, "initiation", what, changed, expect, refused=refused)

    yield made("version 0", 1, 0, "version", 1)
    yield made("version 2", 1, 2, "version", 1)
    yield made("suite 99", 2, 99, "suite", 2)
    yield made("another suite of the table", 2, case.suite.id ^ 1 or 2, "suite", 2)
    yield made("a kind that does not exist", 3, 3, "header")
    yield made("a link type that does not exist", 8, 9, "header")
    yield made("a role that does not exist", 9, 0, "header")
    yield made("reserved byte", 11, 1, "reserved bits")
    yield made("another link type", 8, 2, "not allowed", 3)
    yield made("another initiator role", 9, 3, "not allowed", 3)
    yield made("another responder role", 10, 4, "not allowed", 3)
    changed = body[:12] + _OTHER_INDEX.to_bytes(4, "big") + body[16:]
    expect = "header" if case.kind == PAIRING else "unknown index"  # a pairing never continues anything
    yield _made(case, "initiation", "continues a session that does not exist", changed, expect)
    suite, kind = case.suite.id, case.kind
    prologues = {
        "another channel table": packets.prologue(suite, kind, case.association, channels=packets.CHANNELS[:-2]),
        "exchanged roles": packets.prologue(suite, kind, case.association, roles=(DRONE, RC)),
        "another association": packets.prologue(suite, kind, secret("another association")),
        "another suite": packets.prologue(suite ^ 1, kind, case.association),
        "the other kind": packets.prologue(suite, 3 - kind, case.association),
    }
    for what, other in prologues.items():
        yield _made(case, "initiation", f"prologue of {what}", case.again(prologue=other).bodies[0], "decrypt")


def _initiation_payload(case: Case) -> Iterator[Json]:
    """Yield payloads that are wrong, properly encrypted (LK-13)."""
    good, rest = case.inputs.payloads[0], case.inputs.payloads[1:]
    renamed = good[:8] + _OTHER_INDEX.to_bytes(4, "big") + good[12:]
    payloads = {
        "sender index differs from the header's": (renamed, "sender index"),
        "a bit of the sender index": (flip(good, 11), "sender index"),
        "counter 0": (bytes(8) + good[8:], "counter"),
    }
    if len(good) > 12:
        payloads["first byte of the padding"] = (flip(good, 12), "padding")
        payloads["last byte of the padding"] = (flip(good, len(good) - 1, 7), "padding")
    for what, (payload, expect) in payloads.items():
        yield _made(case, "initiation", f"{what}, properly encrypted", case.again(payloads=(payload, *rest)).bodies[0],
                    expect)  # fmt: skip
    if case.kind == PAIRING:
        other = case.again(psk=hkdf(secret("another code", 16), b"", b"psk0"))
        yield _made(case, "initiation", "another code under the right mac1", other.bodies[0], "decrypt")


def _session(case: Case) -> Iterator[Json]:
    """Yield what only a session can have: replays by counter, our own key coming back."""
    for what, confirmed in {"the highest confirmed counter again": 0, "a lower counter": 1}.items():
        yield _made(case, "initiation", what, case.bodies[0], "old counter", confirmed_counter=case.counter + confirmed)
    own = case.again(initiator=replace(case.inputs.initiator, static=case.inputs.responder.static))
    yield _made(case, "initiation", "the responder's own static key", own.bodies[0], "reflection")


def _rekey(case: Case) -> Iterator[Json]:
    """Yield rekeys that do not fit the session that they continue (LK-12, LK-70)."""
    fresh = case.again(prologue=packets.prologue(case.suite.id, case.kind))
    yield _made(case, "initiation", "prologue of a new association", fresh.bodies[0], "decrypt")
    renamed = replace(case, continues=0)
    yield _made(case, "initiation", "continues 0, prologue of the old association", renamed.bodies[0], "decrypt",
                record=False)  # fmt: skip
    stray = replace(case, continues=_OTHER_INDEX)
    yield _made(case, "initiation", "continues another session", stray.bodies[0], "unknown index")


def _response(case: Case) -> Iterator[Json]:
    """Yield responses with a wrong index or made with a wrong secret."""
    body = case.bodies[1]
    renamed = body[:4] + _OTHER_INDEX.to_bytes(4, "big") + body[8:]
    yield _made(case, "response", "sender index differs from the payload's", renamed, "sender index")
    first, _, *rest = case.inputs.payloads
    lying = case.again(payloads=(first, _OTHER_INDEX.to_bytes(4, "big"), *rest))
    yield _made(case, "response", "payload's index differs, properly encrypted", lying.bodies[1], "sender index")
    other = case.again(psk=secret("another secret"))
    yield _made(case, "response", "another code or pair secret", other.bodies[1], "decrypt")


def _finish(case: Case) -> Iterator[Json]:
    """Yield finishes of somebody else."""
    body = case.bodies[2]
    renamed = body[:4] + _OTHER_INDEX.to_bytes(4, "big") + body[8:]
    yield _made(case, "finish", "another sender index", renamed, "unknown index")
    own = case.again(initiator=replace(case.inputs.initiator, static=case.inputs.responder.static))
    yield _made(case, "finish", "the responder's own static key", own.bodies[2], "reflection")


def _kem(case: Case) -> Iterator[Json]:
    """Yield what a hybrid suite adds: the encapsulation key and the ciphertext."""
    dh = case.suite.dh_bytes
    first, second = case.bodies[:2]
    yield _made(case, "initiation", "a bit of the encrypted encapsulation key", flip(first, 16 + dh), "decrypt")
    yield _made(case, "initiation", "a bit of the encapsulation key's tag", flip(first, 16 + dh + 1184), "decrypt")
    good = kem_public_of(case.inputs.initiator.kem)
    wrong = case.again({"kem_public": b"\xff" * 3 + good[3:]}).bodies[0]
    yield _made(case, "initiation", "encapsulation key: a coefficient above q, properly encrypted", wrong, "bad key")
    yield _made(case, "response", "a bit of the encrypted ciphertext", flip(second, 12 + dh), "decrypt")
    yield _made(case, "response", "a bit of the ciphertext's tag", flip(second, 12 + dh + 1088), "decrypt")
    _, ciphertext = encapsulate(good, secret("another encapsulation"))
    other = case.again({"ciphertext": ciphertext}).bodies[1]
    yield _made(case, "response", "another encapsulation's ciphertext, properly encrypted", other, "decrypt")
    damaged = case.again({"ciphertext": bytes(1088)}).bodies[1]
    yield _made(case, "response", "implicit rejection: ciphertext of zeros, properly encrypted", damaged, "decrypt")
    payload = case.inputs.payloads[0]
    if len(payload) > 12:
        changed = (flip(payload, len(payload) - 1), *case.inputs.payloads[1:])
        padded = case.again(payloads=changed).bodies[0]
        yield _made(case, "initiation", "last byte of the padding, properly encrypted", padded, "padding")
