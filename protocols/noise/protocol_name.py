"""Protocol names (Noise rev 34, section 8.

Noise HFS, section 5): from a name to a pattern and its algorithms.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self, TypeVar

from protocols.crypto.ciphers import CIPHERS, TAG_LENGTH, Cipher
from protocols.crypto.dh import DH_FUNCTIONS, DhFunction
from protocols.crypto.hashes import HASHES, Hash
from protocols.crypto.kem import KEMS, Kem
from protocols.errors import UnsupportedError, UsageError
from protocols.noise.patterns import DH_TOKENS, PSK_TOKENS, Message, Pattern, Token, parse_pattern

MAX_NAME: Final = 255
"""Bytes of a protocol name (8)."""

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Tables:
    """The algorithms that a name may call for. Tests and products may pass others than the default."""

    dh: Mapping[str, DhFunction]
    """DH functions by name."""
    kem: Mapping[str, Kem]
    """KEMs by name."""
    cipher: Mapping[str, Cipher]
    """Ciphers by name."""
    hash: Mapping[str, Hash]
    """Hash functions by name."""


DEFAULT: Final = Tables(DH_FUNCTIONS, KEMS, CIPHERS, HASHES)
"""What the product offers."""


def _find(table: Mapping[str, Row], name: str, kind: str) -> Row:
    if name not in table:
        raise UnsupportedError(f"{kind} {name!r} is not offered")
    return table[name]


@dataclass(frozen=True, slots=True)
class NoiseProtocol:
    """A parsed protocol name."""

    name: str
    """The whole name, hashed at the start of a handshake."""
    pattern: Pattern
    """Messages and pre-messages, modifiers applied."""
    dh: DhFunction
    """The DH function."""
    kem: Kem | None
    """The KEM; present exactly if the pattern has the ``hfs`` modifier."""
    cipher: Cipher
    """The AEAD cipher."""
    hash: Hash
    """The hash function."""
    overheads: tuple[int, ...]
    """For each handshake message, bytes that it has beside its payload."""
    initial_hash: bytes
    """``h`` and ``ck`` before anything is mixed in (5.2, InitializeSymmetric): the name, or its hash."""
    sends_static: tuple[bool, bool]
    """Whether the responder (0) or the initiator (1) sends its static key."""

    @classmethod
    def parse(cls, name: str, tables: Tables = DEFAULT) -> Self:
        """Return the protocol of a name such as ``Noise_IKhfs+psk2_P256+MLKEM768_AESGCM_SHA256``.

        UnsupportedError names the part that is not offered or does not follow section 8.
        """
        sections = name.split("_")
        if len(sections) != 5 or sections[0] != "Noise" or len(name) > MAX_NAME or not name.isascii():
            raise UnsupportedError(f"{name[:MAX_NAME]!r} is not a Noise protocol name")
        pattern = parse_pattern(sections[1])
        dh_name, plus, kem_name = sections[2].partition("+")
        dh = _find(tables.dh, dh_name, "DH function")
        kem = _find(tables.kem, kem_name, "KEM") if plus else None
        if pattern.is_hybrid != (kem is not None):
            raise UnsupportedError(f"{name!r}: the hfs modifier and a KEM go together (Noise HFS 5)")
        cipher = _find(tables.cipher, sections[3], "cipher")
        hash_ = _find(tables.hash, sections[4], "hash")
        initial = name.encode("ascii")
        initial = initial.ljust(hash_.length, b"\0") if len(initial) <= hash_.length else hash_.digest(initial)
        sends = (_sends_static(pattern.messages[1::2]), _sends_static(pattern.messages[::2]))
        return cls(name, pattern, dh, kem, cipher, hash_, _overheads(pattern, dh, kem), initial, sends)

    def message_length(self, index: int, payload_length: int) -> int:
        """Return the exact bytes of handshake message ``index`` (from 0) with such a payload; UsageError."""
        if not 0 <= index < len(self.overheads) or payload_length < 0:
            raise UsageError(f"{self.name} has no message {index} with {payload_length} bytes of payload")
        return self.overheads[index] + payload_length


def _sends_static(messages: Sequence[Message]) -> bool:
    return any(Token.S in message for message in messages)


def _overheads(pattern: Pattern, dh: DhFunction, kem: Kem | None) -> tuple[int, ...]:
    sizes = {Token.S: dh.public_length}
    if kem is not None:
        sizes |= {Token.E1: kem.public_length, Token.EKEM1: kem.ciphertext_length}
    has_psk, has_key, result = bool(pattern.psk_positions), False, list[int]()
    for message in pattern.messages:
        length, has_key = _walk(message, has_key=has_key, has_psk=has_psk, sizes=sizes, e_length=dh.public_length)
        result.append(length)
    return tuple(result)


def _walk(
    message: Message, *, has_key: bool, has_psk: bool, sizes: Mapping[Token, int], e_length: int
) -> tuple[int, bool]:
    """Return the length of a message with an empty payload, and whether there is a cipher key after it."""
    length = 0
    for token in message:
        if token is Token.E:
            length += e_length  # always in clear; in a psk handshake it is mixed into the key (9.2)
            has_key = has_key or has_psk
        elif token in sizes:
            length += sizes[token] + TAG_LENGTH * has_key
            has_key = has_key or token is Token.EKEM1
        else:
            has_key = has_key or token in DH_TOKENS or token in PSK_TOKENS
    return length + TAG_LENGTH * has_key, has_key
