"""The vector runner: what passes, what fails and why (protocols/noise/vectors.py)."""

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from nodes.cli_vectors import run
from protocols.crypto.dh import X25519Key
from protocols.crypto.kem import KEMS, MlKem768Key
from protocols.crypto.keys import FixedKeySource
from protocols.errors import MalformedError
from protocols.noise import HandshakeState, NoiseProtocol
from protocols.noise.vectors import (
    KNOWN_KEYS,
    Outcome,
    Result,
    load_vectors_untrusted,
    protocol_name,
    run_vector,
    summary,
)
from tests.unit.noise.pair import psk

S = [bytes(31) + bytes([i]) for i in range(1, 5)]  # static and ephemeral keys of both
SEED = bytes(range(64))
SECRET, CIPHERTEXT = KEMS["MLKEM768"].encapsulate(MlKem768Key.from_seed(SEED).public)


def make_vector(name: str, extra_messages: int = 3) -> dict[str, Any]:
    """A vector made by the state machine itself; the public files hold that machine."""
    protocol = NoiseProtocol.parse(name)
    pattern = protocol.pattern
    statics = [X25519Key.from_private_bytes(private) for private in S[:2]]
    vector: dict[str, Any] = {"protocol_name": name, "messages": []}
    parties: list[HandshakeState] = []
    for i, side in enumerate(("init", "resp")):
        knows = pattern.initiator_pre if i else pattern.responder_pre
        psks = {position: psk(position) for position in pattern.psk_positions}
        rs = statics[1 - i].public if knows else None
        parties.append(
            HandshakeState(
                protocol,
                initiator=i == 0,
                key_source=FixedKeySource([S[2 + i]], [SEED], [(SECRET, CIPHERTEXT)]),
                prologue=b"prologue",
                s=statics[i],
                rs=rs,
                psks=psks,
            )
        )
        vector |= {f"{side}_prologue": b"prologue".hex(), f"{side}_static": S[i].hex()}
        vector |= {f"{side}_ephemeral": S[2 + i].hex(), f"{side}_psks": [value.hex() for value in psks.values()]}
        vector[f"{side}_remote_static"] = statics[1 - i].public.hex() if rs else None
    if protocol.kem:
        vector |= {"init_kem_seed": SEED.hex(), "resp_kem_ciphertext": CIPHERTEXT.hex()}
    a, b = parties
    while not a.is_finished:
        writer, reader = (a, b) if a.next_is_write else (b, a)
        text = writer.write_message(b"payload")
        reader.read_message(text)
        vector["messages"].append({"payload": b"payload".hex(), "ciphertext": text.hex()})
    ways = a.split()
    for i in range(len(pattern.messages), len(pattern.messages) + extra_messages):
        text = ways[0 if pattern.is_one_way else i % 2].encrypt_with_ad(b"", b"text")
        vector["messages"].append({"payload": b"text".hex(), "ciphertext": text.hex()})
    vector["handshake_hash"] = a.handshake_hash.hex()
    return vector


XX = "Noise_XX_25519_AESGCM_SHA256"
IK = "Noise_IKhfs+psk2_25519+MLKEM768_ChaChaPoly_BLAKE2s"


@pytest.mark.parametrize(
    "name",
    [
        XX,
        IK,
        "Noise_XXhfs+psk0_25519+MLKEM768_AESGCM_SHA256",
        "Noise_X_25519_AESGCM_SHA512",
        "Noise_KNpsk0+psk2_25519_ChaChaPoly_BLAKE2b",
    ],
)
def test_a_good_vector_passes(name: str) -> None:
    vector = make_vector(name)
    assert vector.keys() <= KNOWN_KEYS
    assert run_vector(vector) == Result(Outcome.PASSED)
    vector["fail"] = False
    vector["name"] = "a name"
    assert run_vector(vector).outcome is Outcome.PASSED


def test_psks_of_both_sides_at_once() -> None:
    vector = make_vector("Noise_NNpsk0_25519_AESGCM_SHA256")
    vector["psks"] = vector.pop("init_psks")
    del vector["resp_psks"]
    assert run_vector(vector).outcome is Outcome.PASSED


def change_hex(text: str) -> str:
    return text[:-1] + ("0" if text[-1] != "0" else "1")


def changed(name: str, key: str, value: Any = ...) -> dict[str, Any]:
    vector = make_vector(name)
    vector[key] = change_hex(vector[key]) if value is ... else value
    return vector


@pytest.mark.parametrize(
    ("vector", "reason"),
    [
        (changed(XX, "init_static"), "differs"),
        (changed(XX, "resp_ephemeral"), "differs"),
        (changed(XX, "handshake_hash"), "handshake hash differs"),
        (changed(XX, "init_remote_static", "00" * 32), "responder's static key differs"),
        (changed(XX, "resp_remote_static", "00" * 32), "initiator's static key differs"),
        (changed(XX, "init_prologue"), "DecryptError"),
        (changed(XX, "surprise", 1), "unknown keys ['surprise']"),
        (changed(XX, "init_static", None), "static key"),
        (changed(XX, "init_static", "zz"), "init_static is not a hex string"),
        (changed(XX, "init_static", 5), "init_static is not a hex string"),
        (changed(XX, "init_static", "00"), "32 bytes"),
        (changed(XX, "init_ephemeral", None), "no fixed DH key"),
        (changed(XX, "init_psks", ["00" * 32]), "1 psks for 0 modifiers"),
        (changed(XX, "init_psks", "00" * 32), "init_psks is not a list"),
        (changed(XX, "messages", None), "the messages end before the handshake"),
        (changed(XX, "messages", [1]), "payload and ciphertext"),
        (changed(XX, "messages", [{"payload": ""}]), "payload and ciphertext"),
        (changed(XX, "messages", [{"payload": "", "ciphertext": "", "x": ""}]), "payload and ciphertext"),
        (changed(XX, "protocol_name", None), "protocol_name is not a string"),
        (changed(XX, "fail", True), "no message was refused"),
        (changed(IK, "init_kem_seed", "ff" + SEED.hex()[2:]), "differs"),
        (changed(IK, "init_kem_seed", None), "needs init_kem_seed"),
        (changed(IK, "resp_kem_ciphertext", None), "needs init_kem_seed and resp_kem_ciphertext"),
        (changed(IK, "resp_kem_ciphertext", "00"), "1,088"),
        (changed(IK, "init_psks", []), "0 psks for 1 modifiers"),
        (changed(IK, "init_remote_static", None), "missing"),
    ],
)
def test_a_bad_vector_fails(vector: dict[str, Any], reason: str) -> None:
    result = run_vector(vector)
    assert result.outcome is Outcome.FAILED
    assert reason in result.reason


@pytest.mark.parametrize("index", range(6))
@pytest.mark.parametrize("field", ["payload", "ciphertext"])
def test_every_message_is_checked(index: int, field: str) -> None:
    vector = make_vector(XX)
    vector["messages"][index][field] = change_hex(vector["messages"][index][field])
    assert run_vector(vector).outcome is Outcome.FAILED


def test_a_vector_that_must_fail() -> None:
    """Wiki, "fail": some message is refused, in the handshake or after it."""
    for index in (1, 2, 4):
        vector = make_vector(XX)
        vector["fail"] = True
        message = vector["messages"][index]
        message["ciphertext"] = change_hex(message["ciphertext"])
        assert run_vector(vector).outcome is Outcome.PASSED
        vector["fail"] = False
        assert run_vector(vector).outcome is Outcome.FAILED


def test_a_refusal_of_a_message_fails_a_vector() -> None:
    vector = make_vector("Noise_NN_25519_AESGCM_SHA256")
    low_order = "00" * 32 + vector["messages"][1]["ciphertext"][64:]
    vector["messages"][1]["ciphertext"] = low_order
    assert run_vector(vector).outcome is Outcome.FAILED


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("protocol_name", "Noise_XX_25519_XChaChaPoly_SHA256"),
        ("protocol_name", "Noise_XXfallback_25519_AESGCM_SHA256"),
        ("protocol_name", "NoisePSK_XX_25519_AESGCM_SHA256"),
        ("fallback", True),
        ("hybrid", "NewHope"),
    ],
)
def test_what_is_not_offered(key: str, value: Any) -> None:
    result = run_vector(changed(XX, key, value))
    assert result.outcome is Outcome.UNSUPPORTED
    assert "not" in result.reason


def test_a_name_is_safe_to_print() -> None:
    assert protocol_name({"protocol_name": "a\x1b[31m\u202e"}) == "a\\x1b[31m\\u202e"
    result = run_vector(changed(XX, "protocol_name", "a\x1b[31m\n"))
    assert result.reason.isprintable()
    assert run_vector(changed(XX, "\x1b\n", "x")).reason.isprintable()


@pytest.mark.parametrize(
    "data",
    [
        b"", b"{", b"\xff\xfe", b"[]", b"null", b'"vectors"', b'{"vectors": {}}', b'{"vectors": []}', b"{}",
        b'{"vectors": [1]}', b'{"vectors": [[]]}', b'{"vectors": [{"a": 1, "a": 2}]}', b"[" * 100_000,
        b'{"vectors": [{"a": ' + b"1" * 5000 + b"}]}",
    ],
)  # fmt: skip
def test_a_malformed_file(data: bytes) -> None:
    with pytest.raises(MalformedError) as caught:
        load_vectors_untrusted(data)
    assert str(caught.value).isprintable()


# --- aerolink vectors -----------------------------------------------------------------------------


def write(path: Path, *vectors: dict[str, Any]) -> Path:
    path.write_text(json.dumps({"vectors": vectors}), "utf-8")
    return path


def test_command(tmp_path: Path) -> None:
    good = write(tmp_path / "good.txt", make_vector(XX), changed(XX, "hybrid", "448"), changed(XX, "hybrid", "448"))
    bad = write(tmp_path / "bad.txt", make_vector(XX), changed(XX, "handshake_hash"))
    out = StringIO()
    assert run([good], out) == 0
    assert out.getvalue().splitlines() == [
        "unsupported: fallback and the former hybrid extension are not offered (2)",
        "1 passed, 0 failed, 2 unsupported",
    ]
    out = StringIO()
    assert run([bad, good], out) == 1
    lines = out.getvalue().splitlines()
    assert lines[0] == f"FAILED bad.txt 1 {XX}: MismatchError: handshake hash differs"
    assert lines[-1] == "2 passed, 1 failed, 2 unsupported"


@pytest.mark.parametrize("content", [None, b"", b'{"vectors": []}', b"\x00"])
def test_command_on_an_unusable_file(tmp_path: Path, content: bytes | None) -> None:
    path, good = tmp_path / "bad\x1b.txt", write(tmp_path / "good.txt", make_vector(XX))
    if content is not None:
        path.write_bytes(content)
    out = StringIO()
    assert run([path, good], out) == 1
    lines = out.getvalue().splitlines()
    assert len(lines) == 2
    assert "bad\\x1b.txt: " in lines[0]
    assert lines[-1] == "1 passed, 0 failed, 0 unsupported"


def test_summary() -> None:
    results = [Result(Outcome.PASSED), Result(Outcome.FAILED, "x"), Result(Outcome.PASSED)]
    assert summary(results) == "2 passed, 1 failed, 0 unsupported"
    assert summary([]) == "0 passed, 0 failed, 0 unsupported"
