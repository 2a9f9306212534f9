"""Runs public test vectors: the JSON of cacophony and snow (wiki of the Noise project, page Test vectors).

A file is ``{"vectors": [...]}``. A vector names a protocol, both parties' keys and a conversation; the
parties alternate, handshake and transport messages alike, and in a one-way pattern only the initiator writes.
Each message is written by one state machine, which must give exactly the ciphertext, and read by the other,
which must give the payload. Two keys are ours, for hybrid protocols: ``init_kem_seed`` (64 bytes, d || z) and
``resp_kem_ciphertext``, of which the shared secret follows.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Final, cast

from protocols.crypto.keys import FixedKeySource, load_static_key
from protocols.errors import AerolinkError, AuthenticationError, MalformedError, PeerError, UnsupportedError
from protocols.noise.cipherstate import CipherState
from protocols.noise.handshakestate import HandshakeState
from protocols.noise.protocol_name import DEFAULT, NoiseProtocol, Tables

Vector = Mapping[str, object]

_SIDES: Final = ("init", "resp")
_SIDE_KEYS: Final = ("prologue", "psks", "static", "ephemeral", "remote_static")
KNOWN_KEYS: Final = frozenset(
    {"name", "protocol_name", "fail", "fallback", "fallback_pattern", "hybrid", "handshake_hash", "messages"}
    | {"psks", "init_kem_seed", "resp_kem_ciphertext"}
    | {f"{side}_{key}" for side in _SIDES for key in _SIDE_KEYS}
)
"""The closed list: a vector with any other key fails, because something in it would go unchecked."""


class Outcome(StrEnum):
    """What became of a vector."""

    PASSED = "passed"
    FAILED = "failed"
    UNSUPPORTED = "unsupported"


@dataclass(frozen=True, slots=True)
class Result:
    """Outcome of one vector."""

    outcome: Outcome
    """Passed, failed or unsupported."""
    reason: str = ""
    """Why not passed: one line, without control characters."""


class _MismatchError(Exception):
    """The state machine or the vector is wrong; which of the two is for the reader to say."""


def load_vectors_untrusted(data: bytes) -> list[Vector]:
    """Return the vectors of a file; MalformedError, in one line, if it is not one or holds none."""
    try:
        root: object = json.loads(data, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise MalformedError(f"not a JSON text: {str(error)!a}") from None
    vectors = cast("dict[str, object]", root).get("vectors") if isinstance(root, dict) else None
    if not isinstance(vectors, list):
        raise MalformedError('not a vector file: {"vectors": [...]} is expected')
    rows = cast("list[object]", vectors)
    if not rows:
        raise MalformedError("a vector file without vectors")
    if not all(isinstance(row, dict) for row in rows):
        raise MalformedError("a vector is not a JSON object")
    return cast("list[Vector]", rows)


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("an object has a key twice")
    return result


def protocol_name(vector: Vector) -> str:
    """Return what the vector says its protocol is, safe to print."""
    return ascii(vector.get("protocol_name")).strip("'")


def run_vector(vector: Vector, tables: Tables = DEFAULT) -> Result:
    """Run one vector. Raises nothing: what goes wrong is the result."""
    try:
        _run(vector, tables)
    except UnsupportedError as error:
        return Result(Outcome.UNSUPPORTED, ascii(str(error))[1:-1])
    except (_MismatchError, AerolinkError) as error:
        return Result(Outcome.FAILED, ascii(f"{type(error).__name__.strip('_')}: {error}")[1:-1])
    return Result(Outcome.PASSED)


def summary(results: Sequence[Result]) -> str:
    """Return ``N passed, N failed, N unsupported``."""
    outcomes = [result.outcome for result in results]
    return ", ".join(f"{outcomes.count(outcome)} {outcome}" for outcome in Outcome)


def _run(vector: Vector, tables: Tables) -> None:
    unknown = sorted(vector.keys() - KNOWN_KEYS)
    if unknown:
        raise _MismatchError(f"unknown keys {unknown}")
    if vector.get("fallback") or vector.get("hybrid"):
        raise UnsupportedError("fallback and the former hybrid extension are not offered")
    protocol = NoiseProtocol.parse(_text(vector, "protocol_name"), tables)
    initiator, responder = (_party(vector, protocol, side) for side in _SIDES)
    fails = vector.get("fail") is True
    try:
        _converse(initiator, responder, _messages(vector), exact=not fails)
    except (PeerError, AuthenticationError):
        if fails:
            return
        raise
    if fails:
        raise _MismatchError("no message was refused")
    if not initiator.is_finished:
        raise _MismatchError("the messages end before the handshake does")
    _same(_hex(vector, "handshake_hash"), initiator.handshake_hash, "handshake hash")
    _same(_hex(vector, "resp_remote_static"), responder.remote_static, "initiator's static key")
    _same(_hex(vector, "init_remote_static"), initiator.remote_static, "responder's static key")


def _party(vector: Vector, protocol: NoiseProtocol, side: str) -> HandshakeState:
    initiator = side == "init"
    static = _hex(vector, f"{side}_static")
    knows = protocol.pattern.responder_pre if initiator else protocol.pattern.initiator_pre
    psks = _hex_list(vector, f"{side}_psks") or _hex_list(vector, "psks")
    positions = protocol.pattern.psk_positions
    if len(psks) != len(positions):
        raise _MismatchError(f"{len(psks)} psks for {len(positions)} modifiers")
    return HandshakeState(
        protocol,
        initiator=initiator,
        key_source=_key_source(vector, protocol, side),
        prologue=_hex(vector, f"{side}_prologue") or b"",
        s=None if static is None else load_static_key(protocol.dh.name, static),
        rs=_hex(vector, f"{side}_remote_static") if knows else None,
        psks=dict(zip(positions, psks, strict=True)),
    )


def _key_source(vector: Vector, protocol: NoiseProtocol, side: str) -> FixedKeySource:
    ephemeral = _hex(vector, f"{side}_ephemeral")
    dh = [] if ephemeral is None else [ephemeral]
    if protocol.kem is None:
        return FixedKeySource(dh)
    seed, ciphertext = _hex(vector, "init_kem_seed"), _hex(vector, "resp_kem_ciphertext")
    if seed is None or ciphertext is None:
        raise _MismatchError("a hybrid vector needs init_kem_seed and resp_kem_ciphertext")
    secret = protocol.kem.from_seed(seed).decapsulate(ciphertext)
    return FixedKeySource(dh, [seed], [(secret, ciphertext)])


def _converse(a: HandshakeState, b: HandshakeState, messages: list[tuple[bytes, bytes]], *, exact: bool) -> None:
    transport: tuple[tuple[CipherState, CipherState], tuple[CipherState, CipherState]] | None = None
    for index, (payload, ciphertext) in enumerate(messages):
        if not a.is_finished:
            writer, reader = (a, b) if index % 2 == 0 else (b, a)
            written, read = writer.write_message(payload), reader.read_message
        else:
            transport = transport or (a.split(), b.split())
            way = 0 if a.protocol.pattern.is_one_way else index % 2
            sender, receiver = transport[way][way], transport[1 - way][way]
            written = sender.encrypt_with_ad(b"", payload)
            read = partial(receiver.decrypt_with_ad, b"")
        if exact:
            _same(ciphertext, written, f"ciphertext of message {index}")
        _same(payload, read(ciphertext), f"payload of message {index}")


def _same(expected: bytes | None, actual: bytes | None, what: str) -> None:
    if expected is not None and expected != actual:
        raise _MismatchError(f"{what} differs")


# --- the fields of a vector; ``null`` is the same as absent ---------------------------------------


def _text(vector: Vector, key: str) -> str:
    value = vector.get(key)
    if not isinstance(value, str):
        raise _MismatchError(f"{key} is not a string")
    return value


def _bytes(value: object, key: str) -> bytes:
    try:
        return bytes.fromhex(value if isinstance(value, str) else "?")
    except ValueError:
        raise _MismatchError(f"{key} is not a hex string") from None


def _hex(vector: Vector, key: str) -> bytes | None:
    value = vector.get(key)
    return None if value is None else _bytes(value, key)


def _list(vector: Vector, key: str) -> list[object]:
    value = vector.get(key)
    if value is not None and not isinstance(value, list):
        raise _MismatchError(f"{key} is not a list")
    return cast("list[object]", value or [])


def _hex_list(vector: Vector, key: str) -> list[bytes]:
    return [_bytes(value, key) for value in _list(vector, key)]


def _messages(vector: Vector) -> list[tuple[bytes, bytes]]:
    result: list[tuple[bytes, bytes]] = []
    for value in _list(vector, "messages"):
        if not isinstance(value, dict) or set(cast("Vector", value)) != {"payload", "ciphertext"}:
            raise _MismatchError("a message has payload and ciphertext, nothing else")
        row = cast("Vector", value)
        result.append((_bytes(row["payload"], "payload"), _bytes(row["ciphertext"], "ciphertext")))
    return result
