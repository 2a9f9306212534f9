"""Whatever arrives or fails, a handshake stays as it was, and the good message is still accepted (NH-12)."""

from typing import Final

from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.crypto.agreements import StaticAgreements
from protocols.crypto.dh import SoftwareKey
from protocols.crypto.kem import KemKey
from protocols.crypto.keys import SystemKeySource
from protocols.errors import AuthenticationError, MalformedError, MessageTooLargeError
from protocols.noise import PATTERNS, HandshakeState, NoiseProtocol, Token
from tests.conftest import examples
from tests.unit.noise.pair import finish, make_pair, names_of, party, protocol_name, step

NAMES: Final = [protocol_name(name) for base in PATTERNS for name in names_of(base)]
WITH_SS: Final = [
    name for name in NAMES if any(Token.SS in each for each in NoiseProtocol.parse(name).pattern.messages)
]
TYPED: Final = (MalformedError, AuthenticationError)


@st.composite
def damaged(draw: st.DrawFn, message: bytes) -> bytes:
    """A message after an attacker had it: bits flipped, cut, extended, spliced, or something else altogether."""
    at = draw(st.integers(0, len(message) - 1))
    match draw(st.sampled_from(["flip", "cut", "extend", "splice", "swap", "other"])):
        case "flip":
            return message[:at] + bytes([message[at] ^ draw(st.integers(1, 255))]) + message[at + 1 :]
        case "cut":
            return message[:at]
        case "extend":
            return message + draw(st.binary(min_size=1, max_size=40))
        case "splice":
            return message[:at] + draw(st.binary(min_size=1, max_size=8)) + message[at:]
        case "swap":
            return message[at:] + message[:at]
        case _:
            return draw(st.binary(max_size=200))


@given(data=st.data(), name=st.sampled_from(NAMES))
@settings(max_examples=examples(50), deadline=None)
def test_reading_is_atomic(data: st.DataObject, name: str) -> None:
    """read_message raises typed errors only; a failed message leaves no trace."""
    read_damaged(data, *make_pair(name))


@given(data=st.data(), name=st.sampled_from(WITH_SS), known=st.tuples(st.booleans(), st.booleans()))
@settings(max_examples=examples(20), deadline=None)
def test_reading_is_atomic_with_known_agreements(data: st.DataObject, name: str, known: tuple[bool, bool]) -> None:
    """The same where either end knows what the static keys agree on; what fails puts nothing into the table."""
    protocol, source = NoiseProtocol.parse(name), SystemKeySource()
    one, two = (source.dh_key(protocol.dh.name) for _ in range(2))
    tables = StaticAgreements(), StaticAgreements()
    for table, mine, other in ((tables[0], one, two), (tables[1], two, one)):
        if known[table is tables[1]]:
            table.keep(mine.public, other.public, mine.exchange(other.public), key_id=b"", mark=table.mark)
    a = party(protocol, initiator=True, s=one, peer=two.public, agreements=tables[0])
    b = party(protocol, initiator=False, s=two, peer=one.public, agreements=tables[1])
    read_damaged(data, a, b)
    assert tuple(len(table) == 1 for table in tables) == known


def read_damaged(data: st.DataObject, a: HandshakeState, b: HandshakeState) -> None:
    """Pass all messages, each after a few damaged copies of it."""
    while not a.is_finished:
        writer, reader = (a, b) if a.next_is_write else (b, a)
        message = writer.write_message(b"payload")
        for _ in range(data.draw(st.integers(0, 3))):
            bad = data.draw(damaged(message))
            judge = reader.copy()
            try:
                judge.read_message(bad)
            except TYPED:
                refuse(reader, bad)
            # else: it was the same message, or this one carries nothing that is authenticated yet
        assert reader.read_message(message) == b"payload"
    finish(a, b)


def refuse(reader: HandshakeState, bad: bytes) -> None:
    before = visible(reader)
    try:
        reader.read_message(bad)
    except TYPED:
        pass
    else:
        raise AssertionError("a copy refused what the original accepts")
    assert before == visible(reader)


def visible(state: HandshakeState) -> tuple[object, ...]:
    return state.message_index, state.remote_static, state.static_agreement, state.next_is_write, repr(state)


class Faulty(SystemKeySource):
    """A key source whose n-th call fails."""

    def __init__(self, fails_at: int) -> None:
        self.calls = 0
        self.fails_at = fails_at

    def _count(self) -> None:
        self.calls += 1
        if self.calls == self.fails_at:
            raise TimeoutError

    def dh_key(self, dh_name: str) -> SoftwareKey:
        self._count()
        return super().dh_key(dh_name)

    def kem_key(self, kem_name: str) -> KemKey:
        self._count()
        return super().kem_key(kem_name)

    def encapsulate(self, kem_name: str, public: bytes) -> tuple[bytes, bytes]:
        self._count()
        return super().encapsulate(kem_name, public)


@given(name=st.sampled_from(NAMES), fails_at=st.integers(1, 3), too_long=st.integers(0, 4))
@settings(max_examples=examples(40), deadline=None)
def test_writing_is_atomic(name: str, fails_at: int, too_long: int) -> None:
    """A write that fails in the middle, or is too long, can be repeated."""
    protocol = NoiseProtocol.parse(name)
    one, two = (SystemKeySource().dh_key(protocol.dh.name) for _ in range(2))
    a = party(protocol, initiator=True, s=one, peer=two.public, key_source=Faulty(fails_at))
    b = party(protocol, initiator=False, s=two, peer=one.public, key_source=Faulty(fails_at))
    while not a.is_finished:
        writer, index = (a if a.next_is_write else b), a.message_index
        if too_long == index:
            try:
                writer.write_message(bytes(65536 - protocol.message_length(index, 0)))
            except MessageTooLargeError:
                assert writer.message_index == index
        try:
            step(a, b, b"payload")
        except TimeoutError:
            assert a.message_index == b.message_index == index
            step(a, b, b"payload")
    finish(a, b)
