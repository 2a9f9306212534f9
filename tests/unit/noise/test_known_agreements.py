"""``ss`` from a table of known agreements: the same bytes, less work, nothing kept that failed (NH-12, adr 0006)."""

import pytest

from protocols.crypto.agreements import StaticAgreements
from protocols.crypto.dh import DH_FUNCTIONS, SoftwareKey
from protocols.crypto.keys import FixedKeySource, SystemKeySource
from protocols.errors import BadPublicKeyError, DecryptError
from protocols.noise import HandshakeState, NoiseProtocol
from tests.unit.noise.pair import finish, protocol_name, psk

NAMES = ("K", "X", "KK", "IK", "IKpsk2", "IKhfs+psk2", "KKpsk0")
"""Patterns with ``ss``."""


class Counting:
    """A static key that counts what it is asked for."""

    def __init__(self, key: SoftwareKey) -> None:
        self.dh = key.dh
        self.public = key.public
        self.asked: list[bytes] = []
        self.answer: bytes | None = None
        self._key = key

    def exchange(self, peer_public: bytes) -> bytes:
        self.asked.append(peer_public)
        return self._key.exchange(peer_public) if self.answer is None else self.answer


class Pair:
    """Two parties and their tables."""

    def __init__(self, name: str) -> None:
        self.protocol = NoiseProtocol.parse(name)
        self.keys = [Counting(DH_FUNCTIONS[self.protocol.dh.name].generate()) for _ in range(2)]
        self.tables = [StaticAgreements(), StaticAgreements()]

    def states(self, source: SystemKeySource | FixedKeySource | None = None) -> list[HandshakeState]:
        pattern, publics = self.protocol.pattern, [key.public for key in self.keys]
        return [
            HandshakeState(
                self.protocol,
                initiator=end == 0,
                key_source=source or SystemKeySource(),
                s=self.keys[end],
                rs=publics[1 - end] if (pattern.responder_pre, pattern.initiator_pre)[end] else None,
                psks={position: psk(position) for position in pattern.psk_positions},
                agreements=self.tables[end],
            )
            for end in range(2)
        ]

    def keep(self, end: int, secret: bytes) -> None:
        own, peer = self.keys[end].public, self.keys[1 - end].public
        self.tables[end].keep(own, peer, secret, key_id=b"", mark=self.tables[end].mark)

    def static_asked(self, end: int) -> int:
        """How often this end's key was asked for the agreement with the other's static key."""
        return self.keys[end].asked.count(self.keys[1 - end].public)


@pytest.mark.parametrize("name", NAMES)
def test_once_known_the_key_is_not_asked_again(name: str) -> None:
    pair = Pair(protocol_name(name))
    a, b = pair.states()
    message = a.write_message()
    b.read_message(message)
    assert a.static_agreement == b.static_agreement is not None
    assert [len(table) for table in pair.tables] == [0, 0]  # whose it is, the caller decides
    for end, state in enumerate((a, b)):
        pair.keep(end, state.static_agreement or b"")
    finish(a, b)
    assert [pair.static_asked(end) for end in range(2)] == [1, 1]
    again = pair.states()
    finish(*again)
    assert [pair.static_asked(end) for end in range(2)] == [1, 1]


@pytest.mark.parametrize("name", ["IK", "KKpsk0"])
def test_one_end_alone_may_know_it(name: str) -> None:
    """The bytes are the same, whoever computed and whoever looked it up."""
    pair = Pair(protocol_name(name))
    secret = pair.keys[0].exchange(pair.keys[1].public)
    ephemeral = [bytes([number] * 32) for number in (1, 2)]
    messages = list[bytes]()
    for known in ((), (0,), (1,), (0, 1)):
        for end in known:
            pair.keep(end, secret)
        a, b = pair.states(FixedKeySource(ephemeral))
        messages.append(a.write_message(b"text"))
        assert b.read_message(messages[-1]) == b"text"
        finish(a, b)
        pair.tables = [StaticAgreements(), StaticAgreements()]
    assert len(set(messages)) == 1


def test_a_copy_and_the_next_message_leave_it_behind() -> None:
    """It is there between the message that has ``ss`` and the next one, in this very state and its copies."""
    pair = Pair(protocol_name("IK"))
    a, b = pair.states()
    assert a.static_agreement is None
    b.read_message(a.write_message())
    assert b.copy().static_agreement == b.static_agreement is not None
    a.read_message(b.write_message())
    assert a.static_agreement is b.static_agreement is None


def test_without_a_table_nothing_is_held() -> None:
    a = HandshakeState(
        NoiseProtocol.parse(protocol_name("IK")), initiator=True, key_source=SystemKeySource(),
        s=DH_FUNCTIONS["25519"].generate(), rs=DH_FUNCTIONS["25519"].generate().public,
    )  # fmt: skip
    a.write_message()
    assert a.static_agreement is None


@pytest.mark.parametrize("answer", [b"", bytes(32), bytes(31) + b"\x01\x01"])
def test_a_failed_agreement_is_not_there_to_be_kept(answer: bytes) -> None:
    """NP-6, NP-7; afterwards the state is as before (NH-12)."""
    pair = Pair(protocol_name("IK"))
    a, b = pair.states()
    pair.keys[0].answer = answer
    with pytest.raises(BadPublicKeyError):
        a.write_message()
    assert (a.message_index, a.static_agreement) == (0, None)
    pair.keys[0].answer = None
    finish(a, b)


def test_a_message_that_fails_after_ss_leaves_nothing() -> None:
    """NH-12: the payload's tag is the last thing that is looked at."""
    pair = Pair(protocol_name("IK"))
    a, b = pair.states()
    message = a.write_message(b"text")
    with pytest.raises(DecryptError):
        b.read_message(message[:-1] + bytes([message[-1] ^ 1]))
    assert (b.message_index, b.remote_static, b.static_agreement) == (0, None, None)
    assert b.read_message(message) == b"text"


def test_a_wrong_entry_ends_in_a_tag_that_does_not_verify() -> None:
    """Nobody can put one in; if somebody did, it would open nothing."""
    pair = Pair(protocol_name("IK"))
    pair.keep(1, b"\x01" * 32)
    a, b = pair.states()
    with pytest.raises(DecryptError):
        b.read_message(a.write_message())


def test_no_secret_in_repr() -> None:
    pair = Pair(protocol_name("IK"))
    a, b = pair.states()
    b.read_message(a.write_message())
    secret = b.static_agreement or b""
    pair.keep(1, secret)
    for shown in (repr(b), str(b), repr(pair.tables[1]), f"{b.copy()}"):
        assert secret.hex() not in shown
        assert repr(secret) not in shown


def test_any_buffer_is_a_message() -> None:
    """What is remembered of a message is bytes, whatever it came in."""
    pair = Pair(protocol_name("IKhfs+psk2"))
    a, b = pair.states()
    assert b.read_message(memoryview(bytearray(a.write_message(b"one")))) == b"one"  # type: ignore[arg-type]
    assert a.read_message(bytearray(b.write_message(b"two"))) == b"two"  # type: ignore[arg-type]
