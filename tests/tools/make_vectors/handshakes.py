"""Per suite: a pairing, the first session of the pair that it made, and a rekey of that session."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Final

from tests.tools.make_vectors import packets
from tests.tools.make_vectors.base import DRONE, RC, Json, hkdf, secret
from tests.tools.make_vectors.codes import text_of
from tests.tools.make_vectors.mlkem import encapsulate
from tests.tools.make_vectors.noise import (
    SUITES,
    Inputs,
    Outcome,
    Side,
    Suite,
    kem_public_of,
    pair_secret,
    public_of,
    run,
)
from tests.tools.make_vectors.packets import PAIRING, SESSION

COUNTERS: Final = {"pairing": 1, "session": 65, "rekey": 66}


@dataclass(frozen=True, slots=True)
class Case:
    """A handshake, its packets' numbers, and its outcome."""

    name: str
    kind: int
    inputs: Inputs
    outcome: Outcome
    mac1_key: bytes
    counter: int
    sender: int
    """Index of the initiator."""
    receiver: int
    """Index of the responder."""
    continues: int = 0
    association: bytes = packets.NEW
    session: str | None = None
    """Name of the session that is rekeyed."""
    code: bytes | None = None

    @property
    def suite(self) -> Suite:
        return self.inputs.suite

    @property
    def response_mac1_key(self) -> bytes:
        """Key of mac1 in the response: a session's is known to the paired peers only (LK-20)."""
        return self.mac1_key if self.code else hkdf(self.inputs.psk, b"", b"mac1 response")

    @property
    def epoch(self) -> int:
        return int(self.session is not None)

    @property
    def bodies(self) -> list[bytes]:
        """Initiation, response and finish without MACs."""
        heads = [
            packets.initiation_header(self.suite.id, self.kind, self.sender, self.continues),
            packets.reply_header(packets.RESPONSE, self.receiver, self.sender),
            packets.reply_header(packets.FINISH, self.sender, self.receiver),
        ]
        return [head + message for head, message in zip(heads, self.outcome.messages, strict=False)]

    @property
    def publics(self) -> tuple[bytes, bytes]:
        """Static keys of initiator and responder."""
        inputs = self.inputs
        return public_of(self.suite, inputs.initiator.static), public_of(self.suite, inputs.responder.static)

    def again(self, forged: Mapping[str, bytes] | None = None, **changes: Any) -> "Case":
        """Return the same handshake with something else in it, properly encrypted."""
        inputs = replace(self.inputs, forged=forged or {}, **changes)
        return replace(self, inputs=inputs, outcome=run(inputs))


def index(label: str) -> int:
    """Return an index that is not 0."""
    return int.from_bytes(secret(f"{label} index", 4), "big") | 1


def inputs_of(suite: Suite, use: str, psk: bytes, association: bytes, payloads: tuple[bytes, ...]) -> Inputs:
    """Draw the keys of one handshake; static keys are one pair of devices' per suite."""
    kind = PAIRING if use == "pairing" else SESSION

    def side(who: str, kem_bytes: int) -> Side:
        label = f"suite {suite.id} {use} {who}"
        return Side(
            secret(f"suite {suite.id} {who} static"), secret(f"{label} ephemeral"), secret(f"{label} kem", kem_bytes)
        )

    prologue = packets.prologue(suite.id, kind, association)
    return Inputs(suite, use == "pairing", prologue, psk, side("initiator", 64), side("responder", 32), payloads)


@cache
def cases(suite: Suite) -> tuple[Case, Case, Case]:
    """Return pairing, session and rekey of one suite."""
    code = secret(f"suite {suite.id} linking code", 16)
    pairing = _case(suite, "pairing", hkdf(code, b"", b"psk0"), code=code)
    known = pair_secret(suite, pairing.outcome, *pairing.publics, bytes((RC, DRONE)))
    session = _case(suite, "session", known)
    return pairing, session, _case(suite, "rekey", known, before=session)


def _case(suite: Suite, use: str, psk: bytes, code: bytes | None = None, before: Case | None = None) -> Case:
    kind = PAIRING if code else SESSION
    label = f"suite {suite.id} {use}"
    sender, receiver = index(f"{label} initiator"), index(f"{label} responder")
    payloads = (packets.initiation_payload(suite, kind, COUNTERS[use], sender), receiver.to_bytes(4, "big"), b"")
    association = before.outcome.hash[:32] if before else packets.NEW
    inputs = inputs_of(suite, use, psk, association, payloads[: 3 if code else 2])
    responder = public_of(suite, inputs.responder.static)
    return Case(
        f"{use} {suite.name}", kind, inputs, run(inputs), hkdf(code or responder, b"", b"mac1"), COUNTERS[use],
        sender, receiver, before.receiver if before else 0, association, before.name if before else None, code,
    )  # fmt: skip


def vectors() -> list[Json]:
    """Return every handshake."""
    return [vector(case) for suite in SUITES for case in cases(suite)]


def vector(case: Case) -> Json:
    """Return a case as a vector."""
    x, outcome = case.inputs, case.outcome
    made = pair_secret(case.suite, outcome, *case.publics, bytes((RC, DRONE))) if case.code else x.psk
    return {
        "name": case.name,
        "suite": case.suite.id,
        "noise_protocol": x.protocol,
        "kind": case.kind,
        "continues": case.continues,
        "session": case.session,
        "association": case.association,
        "prologue": x.prologue,
        "linking_code": case.code,
        "linking_code_text": text_of(case.code) if case.code else None,
        "psk": x.psk,
        "mac1_key": case.mac1_key,
        "response_mac1_key": case.response_mac1_key,
        "initiation_counter": case.counter,
        "initiator": _side(case, x.initiator, case.sender),
        "responder": _side(case, x.responder, case.receiver),
        "payloads": list(x.payloads),
        "messages": list(outcome.messages),
        "handshake_hash": outcome.hash,
        "channel_binding": outcome.hash[:32],
        "initiator_to_responder_key": outcome.forward,
        "responder_to_initiator_key": outcome.back,
        "pair_secret": made,
        "epoch": case.epoch,
        "datagrams": datagrams(case),
        "records": records(case),
    }


def _side(case: Case, side: Side, number: int) -> Json:
    hybrid, initiator = case.suite.hybrid, side is case.inputs.initiator
    result: Json = {
        "index": number,
        "static_private": side.static,
        "static_public": public_of(case.suite, side.static),
        "ephemeral_private": side.ephemeral,
        "ephemeral_public": public_of(case.suite, side.ephemeral),
    }
    if hybrid and initiator:
        result |= {"kem_seed": side.kem}
    elif hybrid:
        shared, ciphertext = encapsulate(kem_public_of(case.inputs.initiator.kem), side.kem)
        result |= {"encapsulation_seed": side.kem, "kem_shared_secret": shared, "kem_ciphertext": ciphertext}
    return result


def _frames(case: Case) -> dict[str, tuple[bool, bytes]]:
    """Return the first protected frames, and whether the initiator sends them."""
    if case.code:
        return {"confirm": (False, packets.confirm()), "close": (True, packets.close(packets.PAIRING_DONE))}
    number = 1 + case.epoch
    return {"proof": (True, packets.ping(number)), "answer": (False, packets.ping(number, packets.PONG))}


def datagrams(case: Case) -> Json:
    """Return what travels on UDP and relays."""
    first, *replies = case.bodies
    names = ("response", "finish")
    result: Json = {"initiation": packets.initiation(first, case.mac1_key)}
    keys = (case.response_mac1_key, case.mac1_key)
    result |= {name: packets.with_mac1(body, key) for name, body, key in zip(names, replies, keys, strict=False)}
    for name, (forward, frame) in _frames(case).items():
        key, where = (case.outcome.forward, case.receiver) if forward else (case.outcome.back, case.sender)
        result[name] = packets.seal_datagram(case.suite, key, where, 0, frame)
    return result


def records(case: Case) -> Json:
    """Return what travels on TCP."""
    names = ("initiation", "response", "finish")
    result: Json = {name: packets.record(body) for name, body in zip(names, case.bodies, strict=False)}
    for name, (forward, frame) in _frames(case).items():
        key = case.outcome.forward if forward else case.outcome.back
        result[name] = packets.seal_record(case.suite, key, case.epoch, 0, frame)
    return result
