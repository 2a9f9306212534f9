"""HandshakeState: what may be called when, and what its secrets are (Noise rev 34, sections 5.3, 7.4, 9)."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from protocols.crypto.dh import P256Key, X25519Key
from protocols.crypto.keys import FixedKeySource, SystemKeySource
from protocols.errors import (
    BadPublicKeyError,
    DecryptError,
    KeyFormatError,
    MalformedError,
    MessageTooLargeError,
    UsageError,
)
from protocols.noise import HandshakeState, NoiseProtocol, Token
from tests.unit.noise.pair import CHEAP, finish, make_pair, psk, step

SOURCE = SystemKeySource()
S, PEER = X25519Key.generate(), X25519Key.generate()


def protocol(pattern: str) -> NoiseProtocol:
    return NoiseProtocol.parse(f"Noise_{pattern}_{CHEAP}")


def make(
    pattern: str, s: X25519Key | None = None, rs: bytes | None = None, *, initiator: bool = True, **psks: bytes
) -> HandshakeState:
    keys = {int(name[3:]): value for name, value in psks.items()}
    return HandshakeState(protocol(pattern), initiator=initiator, key_source=SOURCE, s=s, rs=rs, psks=keys)


# --- construction ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "initiator", "s", "rs"),
    [
        ("XX", True, None, None),  # sends s
        ("XX", False, None, None),
        ("KN", True, None, None),  # s is known beforehand
        ("NK", True, None, None),  # rs is missing
        ("KN", False, None, None),
        ("NN", True, None, PEER.public),  # rs is not known in this pattern
        ("XX", True, S, PEER.public),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_keys_that_are_missing_or_too_many(
    pattern: str, initiator: bool, s: X25519Key | None, rs: bytes | None
) -> None:
    with pytest.raises(UsageError):
        make(pattern, s, rs, initiator=initiator)


def test_keys_of_the_wrong_kind() -> None:
    """NP-4: a configured static key is validated when it is loaded."""
    for rs in (b"", bytes(31), bytes(33)):
        with pytest.raises(KeyFormatError):
            make("NK", rs=rs)
    p256 = NoiseProtocol.parse("Noise_NK_P256_AESGCM_SHA256")
    for rs in (bytes(65), b"\x04" + b"\x01" * 64, P256Key.generate().public[:-1]):
        with pytest.raises(KeyFormatError):
            HandshakeState(p256, initiator=True, key_source=SOURCE, rs=rs)
    with pytest.raises(UsageError, match="25519"):
        HandshakeState(p256, initiator=False, key_source=SOURCE, s=S)


class ForeignKey:
    """A key in some other device, with answers as told."""

    dh = "25519"

    def __init__(self, public: bytes, answer: Callable[[bytes], bytes]) -> None:
        self.public = public
        self._answer = answer

    def exchange(self, peer_public: bytes) -> bytes:
        return self._answer(peer_public)


def test_a_foreign_key_with_a_wrong_public_half() -> None:
    key = ForeignKey(b"short", S.exchange)
    with pytest.raises(KeyFormatError):
        HandshakeState(protocol("XX"), initiator=True, key_source=SOURCE, s=key)


@pytest.mark.parametrize("answer", [b"", bytes(32), bytes(31) + b"\x01\x01", b"\x01" * 31])
def test_a_foreign_key_with_a_wrong_answer(answer: bytes) -> None:
    """NP-6, NP-7: 32 bytes, not all zero; after a failure the state is as before (NH-12)."""
    working = False
    key = ForeignKey(S.public, lambda public: S.exchange(public) if working else answer)
    a = HandshakeState(protocol("IK"), initiator=True, key_source=SOURCE, s=key, rs=PEER.public)
    b = make("IK", PEER, initiator=False)
    with pytest.raises(BadPublicKeyError):
        a.write_message()
    working = True
    assert a.message_index == 0
    finish(a, b)
    assert b.remote_static == S.public


def test_a_foreign_key_that_breaks_down() -> None:
    """NH-12: an error of the device goes through, and the state is as before."""
    broken = True

    def answer(public: bytes) -> bytes:
        if broken:
            raise TimeoutError
        return PEER.exchange(public)

    a = make("IK", S, PEER.public)
    b = HandshakeState(protocol("IK"), initiator=False, key_source=SOURCE, s=ForeignKey(PEER.public, answer), rs=None)
    message = a.write_message()
    with pytest.raises(TimeoutError):
        b.read_message(message)
    broken = False
    assert b.read_message(message) == b""
    finish(a, b)


# --- psk ------------------------------------------------------------------------------------------


def test_a_psk_may_come_late() -> None:
    """9.4: the responder of IKpsk2 learns in message 1 whose psk it is."""
    a, b = make("IKpsk2", S, PEER.public), make("IKpsk2", PEER, initiator=False)
    step(a, b)
    assert b.remote_static == S.public
    with pytest.raises(UsageError, match="psk2"):
        b.write_message()
    b.set_psk(2, psk(7))
    message = b.write_message(b"payload")
    with pytest.raises(UsageError, match="psk2"):
        a.read_message(message)
    a.set_psk(2, psk(1))
    with pytest.raises(DecryptError):
        a.read_message(message)
    a.set_psk(2, psk(7))
    assert a.read_message(message) == b"payload"
    finish(a, b)


def test_a_psk_that_is_out_of_place() -> None:
    state = make("NNpsk0+psk2", psk0=psk(0))
    for position in (1, 3, -1):
        with pytest.raises(UsageError):
            state.set_psk(position, psk(0))
    for length in (0, 31, 33, 64):
        with pytest.raises(KeyFormatError):
            state.set_psk(2, bytes(length))
        with pytest.raises(KeyFormatError):
            make("NNpsk0", psk0=bytes(length))
    state.write_message()
    with pytest.raises(UsageError):
        state.set_psk(0, psk(0))
    with pytest.raises(UsageError):
        make("NN", psk0=psk(0))


# --- order ----------------------------------------------------------------------------------------


def test_turns() -> None:
    a, b = make_pair(f"Noise_XX_{CHEAP}")
    assert (a.next_is_write, b.next_is_write, a.message_index) == (True, False, 0)
    with pytest.raises(UsageError):
        b.write_message()
    with pytest.raises(UsageError):
        a.read_message(bytes(32))
    step(a, b)
    with pytest.raises(UsageError):
        a.write_message()
    assert (a.next_is_write, b.next_is_write, b.message_index) == (False, True, 1)


def test_nothing_comes_before_the_end() -> None:
    """NH-13; 5.2, 11.2: split, hash and exported secret belong to a finished handshake; split happens once."""
    a, b = make_pair(f"Noise_XX_{CHEAP}")
    while not a.is_finished:
        for state in (a, b):
            for call in (state.split, lambda state=state: state.handshake_hash, lambda: a.export_secret(b"", 32)):
                with pytest.raises(UsageError):
                    call()
        step(a, b)
    for state in (a, b):
        with pytest.raises(UsageError):
            state.write_message()
        with pytest.raises(UsageError):
            state.read_message(bytes(64))
    a.split()
    with pytest.raises(UsageError):
        a.split()
    with pytest.raises(UsageError):
        a.copy().split()
    assert a.export_secret(b"x", 32) == b.export_secret(b"x", 32) != b.export_secret(b"y", 32)


def test_remote_static_is_known_when_it_was_read() -> None:
    a, b = make_pair(f"Noise_XX_{CHEAP}")
    seen: list[tuple[bool, bool]] = []
    while not a.is_finished:
        step(a, b)
        seen.append((a.remote_static is not None, b.remote_static is not None))
    assert seen == [(False, False), (True, False), (True, True)]


@pytest.mark.parametrize("pattern", ["N", "K", "X", "Kpsk0", "Npsk1"])
def test_one_way(pattern: str) -> None:
    """NH-13; 7.4: one message, then one direction; the way back has no key."""
    a, b = make_pair(f"Noise_{pattern}_{CHEAP}")
    step(a, b, b"payload")
    (there, back), (here, _) = a.split(), b.split()
    assert here.decrypt_with_ad(b"", there.encrypt_with_ad(b"", b"text")) == b"text"
    with pytest.raises(UsageError):
        back.encrypt_with_ad(b"", b"text")


# --- limits ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("pattern", ["NN", "XX", "IK", "NNpsk0"])
def test_the_limit_of_a_message(pattern: str) -> None:
    """NH-11: 65,535 bytes in all, tags included, written and read; one more is refused before any work."""
    a, b = make_pair(f"Noise_{pattern}_{CHEAP}")
    while not a.is_finished:
        room = 65535 - a.protocol.message_length(a.message_index, 0)
        with pytest.raises(MessageTooLargeError):
            (a if a.next_is_write else b).write_message(bytes(room + 1))
        assert len(step(a, b, bytes(room))) == 65535
    finish(a, b)


@pytest.mark.parametrize("pattern", ["NN", "XX", "IK", "NNpsk0"])
def test_impossible_lengths(pattern: str) -> None:
    """NH-11: too short to be this message, or longer than any."""
    a, b = make_pair(f"Noise_{pattern}_{CHEAP}")
    while not a.is_finished:
        reader = b if a.next_is_write else a
        shortest = a.protocol.message_length(a.message_index, 0)
        for length in (0, 1, shortest - 1, 65536):
            with pytest.raises(MalformedError):
                reader.read_message(bytes(length))
        assert len(step(a, b)) == shortest


# --- copies, keys, repr ---------------------------------------------------------------------------


def test_a_copy_goes_its_own_way() -> None:
    a, b = make("IKpsk2", S, PEER.public), make("IKpsk2", PEER, initiator=False)
    message = a.write_message(b"one")
    job = b.copy()
    assert job.read_message(message) == b"one"
    job.set_psk(2, psk(2))
    assert (b.message_index, b.remote_static) == (0, None)
    assert b.read_message(message) == b"one"
    with pytest.raises(UsageError):
        b.write_message()  # the copy's psk is the copy's
    a.set_psk(2, psk(2))
    finish(a, job)


def test_a_refused_message_draws_new_keys_when_written_again() -> None:
    """NH-6, NH-12: a write that failed leaves no ephemeral key behind."""
    source = FixedKeySource([bytes(31) + b"\x01", bytes(31) + b"\x02"])
    low = ForeignKey(S.public, lambda _: bytes(32))
    state = HandshakeState(protocol("IK"), initiator=True, key_source=source, s=low, rs=PEER.public)
    for _ in range(2):
        with pytest.raises(BadPublicKeyError):
            state.write_message()
    with pytest.raises(UsageError, match="no fixed DH key"):
        state.write_message()
    assert state.message_index == 0


def test_every_handshake_has_its_own_keys() -> None:
    """NH-6."""
    first, second = (make_pair("Noise_NNhfs_25519+MLKEM768_AESGCM_SHA256")[0].write_message() for _ in range(2))
    assert first[:32] != second[:32]
    assert first[32:] != second[32:]


def test_a_pattern_that_uses_what_is_not_there_is_our_bug() -> None:
    """7.3, rule 1: no such row is in the table; if one were, it would not pass for a peer's fault."""
    good = protocol("NN")
    bad = replace(good, pattern=replace(good.pattern, messages=((Token.EE,),)), overheads=(0,))
    state = HandshakeState(bad, initiator=True, key_source=SOURCE)
    with pytest.raises(AssertionError):
        state.write_message()


def test_no_secret_in_repr() -> None:
    state = make("IKpsk2", S, PEER.public, psk2=b"\xa5" * 32)
    state.write_message()
    shown = repr(state) + str(state)
    assert shown.startswith("<HandshakeState Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s initiator message=1>")
    assert "a5a5" not in shown
    assert "\\xa5" not in shown
    assert "responder" in repr(make("NN", initiator=False))
    assert state.protocol.name.startswith("Noise_IKpsk2")
