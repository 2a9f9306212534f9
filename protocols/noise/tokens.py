"""What the tokens of a message do (Noise rev 34, sections 5.3 and 9.2; Noise HFS, section 4): three tables.

``_WRITE`` and ``_READ`` hold the tokens that put bytes into a message; ``_MIX`` those that put none and do
the same on both sides.
"""

from collections.abc import Callable, Mapping
from typing import Final, Self, TypeVar

from protocols.crypto.agreements import StaticAgreements
from protocols.crypto.ciphers import TAG_LENGTH
from protocols.crypto.kem import Kem, KemKey
from protocols.crypto.keys import KeySource, StaticKey
from protocols.errors import BadPublicKeyError
from protocols.noise.patterns import PSK_TOKENS, Message, Token
from protocols.noise.protocol_name import NoiseProtocol
from protocols.noise.symmetricstate import SymmetricState

Value = TypeVar("Value")


class Setup:
    """What stays the same during a handshake. It is never changed: copies of a handshake share it."""

    __slots__ = ("agreements", "initiator", "key_source", "protocol", "psks", "s")

    def __init__(
        self,
        protocol: NoiseProtocol,
        *,
        initiator: bool,
        key_source: KeySource,
        s: StaticKey | None,
        agreements: StaticAgreements | None,
        psks: Mapping[int, bytes],
    ) -> None:
        self.protocol = protocol
        self.initiator = initiator
        self.key_source = key_source
        self.s = s
        self.agreements = agreements
        self.psks = psks

    def with_psk(self, position: int, psk: bytes) -> Self:
        return type(self)(
            self.protocol, initiator=self.initiator, key_source=self.key_source,
            s=self.s, agreements=self.agreements, psks={**self.psks, position: psk},
        )  # fmt: skip


class Progress:
    """What a message changes, on a copy. ``None`` is the specification's *empty*."""

    __slots__ = ("e", "e1", "index", "re", "re1", "rs", "ss", "symmetric")

    def __init__(self, symmetric: SymmetricState, rs: bytes | None) -> None:
        self.symmetric = symmetric
        self.index = 0
        self.e: StaticKey | None = None
        self.re: bytes | None = None
        self.rs = rs
        self.e1: KemKey | None = None
        self.re1: bytes | None = None
        self.ss: bytes | None = None

    def copy(self) -> Self:
        """Return what the next message starts from: ``ss`` stays behind, nobody needs it any more."""
        twin = type(self)(self.symmetric.copy(), self.rs)
        twin.index = self.index
        twin.e = self.e
        twin.re = self.re
        twin.e1 = self.e1
        twin.re1 = self.re1
        return twin


def write_tokens(setup: Setup, step: Progress, message: Message) -> list[bytes]:
    """Process the tokens of a message that we send; return its fields in order, the payload's excepted."""
    fields = list[bytes]()
    for token in message:
        write = _WRITE.get(token)
        if write is None:
            _MIX[token](setup, step)
        else:
            fields.append(write(setup, step))
    return fields


def read_tokens(setup: Setup, step: Progress, message: Message, data_untrusted: bytes) -> bytes:
    """Process the tokens of a message that we received; return the rest: the payload's field.

    The caller has checked the length: no field is ever cut short.
    """
    at = 0
    for token in message:
        read = _READ.get(token)
        if read is None:
            _MIX[token](setup, step)
        else:
            end = at + _field_length(setup, step, token)
            read(setup, step, data_untrusted[at:end])
            at = end
    return data_untrusted[at:]


def _have(value: Value | None) -> Value:
    # A valid pattern never uses what is not there yet (7.3, rule 1), and HandshakeState saw to s, rs and the
    # psks.
    if value is None:
        raise AssertionError("the pattern uses a key before it exists")
    return value


def _kem(setup: Setup) -> Kem:
    return _have(setup.protocol.kem)


def _field_length(setup: Setup, step: Progress, token: Token) -> int:
    tag = TAG_LENGTH if step.symmetric.has_key else 0
    if token is Token.E:
        return setup.protocol.dh.public_length
    if token is Token.S:
        return setup.protocol.dh.public_length + tag
    return (_kem(setup).public_length if token is Token.E1 else _kem(setup).ciphertext_length) + tag


# --- tokens with a field --------------------------------------------------------------------------


def _mix_e(setup: Setup, step: Progress, public: bytes) -> None:
    step.symmetric.mix_hash(public)
    if setup.protocol.pattern.psk_positions:  # 9.2: randomizes the key that a psk alone would make
        step.symmetric.mix_key(public)


def _write_e(setup: Setup, step: Progress) -> bytes:
    step.e = setup.key_source.dh_key(setup.protocol.dh.name)
    _mix_e(setup, step, step.e.public)
    return step.e.public


def _read_e(setup: Setup, step: Progress, field: bytes) -> None:
    setup.protocol.dh.check_public(field)
    step.re = field
    _mix_e(setup, step, field)


def _write_s(setup: Setup, step: Progress) -> bytes:
    return step.symmetric.encrypt_and_hash(_have(setup.s).public)


def _read_s(setup: Setup, step: Progress, field: bytes) -> None:
    step.rs = step.symmetric.decrypt_and_hash(field)
    setup.protocol.dh.check_public(step.rs)


def _write_e1(setup: Setup, step: Progress) -> bytes:
    step.e1 = setup.key_source.kem_key(_kem(setup).name)
    return step.symmetric.encrypt_and_hash(step.e1.public)


def _read_e1(setup: Setup, step: Progress, field: bytes) -> None:
    step.re1 = step.symmetric.decrypt_and_hash(field)
    _kem(setup).check_public(step.re1)


def _write_ekem1(setup: Setup, step: Progress) -> bytes:
    secret, ciphertext = setup.key_source.encapsulate(_kem(setup).name, _have(step.re1))
    field = step.symmetric.encrypt_and_hash(ciphertext)
    step.symmetric.mix_key(secret)
    return field


def _read_ekem1(_setup: Setup, step: Progress, field: bytes) -> None:
    ciphertext = step.symmetric.decrypt_and_hash(field)
    step.symmetric.mix_key(_have(step.e1).decapsulate(ciphertext))


_WRITE: Final[Mapping[Token, Callable[[Setup, Progress], bytes]]] = {
    Token.E: _write_e,
    Token.S: _write_s,
    Token.E1: _write_e1,
    Token.EKEM1: _write_ekem1,
}
_READ: Final[Mapping[Token, Callable[[Setup, Progress, bytes], None]]] = {
    Token.E: _read_e,
    Token.S: _read_s,
    Token.E1: _read_e1,
    Token.EKEM1: _read_ekem1,
}


# --- tokens without one ---------------------------------------------------------------------------


def _agree(setup: Setup, step: Progress, key: StaticKey | None, public: bytes | None) -> bytes:
    secret = _have(key).exchange(_have(public))
    # RFC 7748, 6.1; asked again here because a key may be a foreign object (TPM) that does not ask.
    if len(secret) != setup.protocol.dh.secret_length or not any(secret):
        raise BadPublicKeyError("the agreement gave no usable secret")
    step.symmetric.mix_key(secret)
    return secret


def _mix_ee(setup: Setup, step: Progress) -> None:
    _agree(setup, step, step.e, step.re)


def _mix_es(setup: Setup, step: Progress) -> None:
    key, public = (step.e, step.rs) if setup.initiator else (setup.s, step.re)
    _agree(setup, step, key, public)


def _mix_se(setup: Setup, step: Progress) -> None:
    key, public = (setup.s, step.re) if setup.initiator else (step.e, step.rs)
    _agree(setup, step, key, public)


def _mix_ss(setup: Setup, step: Progress) -> None:
    if setup.agreements is None:
        _agree(setup, step, setup.s, step.rs)
        return
    step.ss = setup.agreements.find(_have(setup.s).public, _have(step.rs))
    if step.ss is None:
        step.ss = _agree(setup, step, setup.s, step.rs)
    else:
        step.symmetric.mix_key(step.ss)


def _mix_psk(position: int) -> Callable[[Setup, Progress], None]:
    def mix(setup: Setup, step: Progress) -> None:
        step.symmetric.mix_key_and_hash(setup.psks[position])

    return mix


_MIX: Final[Mapping[Token, Callable[[Setup, Progress], None]]] = {
    Token.EE: _mix_ee,
    Token.ES: _mix_es,
    Token.SE: _mix_se,
    Token.SS: _mix_ss,
    **{token: _mix_psk(position) for token, position in PSK_TOKENS.items()},
}
