"""HandshakeState (Noise rev 34, sections 5.3 and 9; Noise HFS, section 4).

Theory of operation. A pattern (``patterns.py``) is a list of messages, a message a list of tokens;
``tokens.py`` says what each token does when it is written and when it is read. Everything that a message may
change lives in one object, ``Progress``. A message is processed on a copy of it, and the copy takes the
original's place once the last byte has been accepted: a message that fails, for whatever reason, changes
nothing, and the right one is still welcome. What can be refused without touching a key is refused first:
turn, length, missing psk.
"""

from collections.abc import Mapping
from typing import Final, Self

from protocols.crypto.agreements import StaticAgreements
from protocols.crypto.keys import KeySource, StaticKey
from protocols.errors import (
    BadPublicKeyError,
    KeyFormatError,
    MalformedError,
    MessageTooLargeError,
    UsageError,
)
from protocols.noise.cipherstate import MAX_MESSAGE, CipherState
from protocols.noise.patterns import PSK_TOKENS, Message
from protocols.noise.protocol_name import NoiseProtocol
from protocols.noise.symmetricstate import SymmetricState
from protocols.noise.tokens import Progress, Setup, read_tokens, write_tokens

PSK_LENGTH: Final = 32
"""Bytes of a pre-shared key (9.1)."""


class HandshakeState:
    """One party of one handshake. Not for use by two threads at once: give each its own ``copy()``."""

    __slots__ = ("_progress", "_setup", "_split")

    def __init__(
        self,
        protocol: NoiseProtocol,
        *,
        initiator: bool,
        key_source: KeySource,
        prologue: bytes = b"",
        s: StaticKey | None = None,
        rs: bytes | None = None,
        psks: Mapping[int, bytes] | None = None,
        agreements: StaticAgreements | None = None,
    ) -> None:
        """Initialize() (5.3).

        ``s`` is the local static key, ``rs`` the peer's public one: each must be given if the pattern needs
        it beforehand; an ``s`` that the pattern does not use is not used, an ``rs`` that it does not know is
        refused. ``psks`` maps the number of a psk modifier to 32 bytes; what is missing can be set until its
        message. ``agreements`` is asked before ``ss`` is computed; nothing is put in there, see
        :attr:`static_agreement`. UsageError for what is missing or too much, KeyFormatError for a wrong key.
        """
        pattern = protocol.pattern
        mine, theirs = pattern.initiator_pre, pattern.responder_pre
        if not initiator:
            mine, theirs = theirs, mine
        _check_static(protocol, s, needed=bool(mine) or protocol.sends_static[initiator])
        _check_remote(protocol, rs, needed=bool(theirs))
        symmetric = SymmetricState(protocol)
        symmetric.mix_hash(prologue)
        for pre_message, side in ((pattern.initiator_pre, True), (pattern.responder_pre, False)):
            if pre_message:  # the only pre-message of these patterns is "s"
                symmetric.mix_hash((s.public if s and side == initiator else rs) or b"")
        self._setup = Setup(
            protocol, initiator=initiator, key_source=key_source, s=s, agreements=agreements, psks=dict(psks or {})
        )
        self._progress = Progress(symmetric, rs)
        self._split = False
        for position, psk in self._setup.psks.items():
            self._check_psk(position, psk)

    @property
    def protocol(self) -> NoiseProtocol:
        """The protocol that is run."""
        return self._setup.protocol

    @property
    def message_index(self) -> int:
        """Number of the next message, from 0; equals the number of messages so far."""
        return self._progress.index

    @property
    def is_finished(self) -> bool:
        """True after the last message: ``split()`` is due."""
        return self._progress.index == len(self.protocol.pattern.messages)

    @property
    def next_is_write(self) -> bool:
        """True if the next message is ours to write."""
        return not self.is_finished and (self._progress.index % 2 == 0) == self._setup.initiator

    @property
    def remote_static(self) -> bytes | None:
        """The peer's static public key, as soon as it is known.

        Proven only when the handshake has finished.
        """
        return self._progress.rs

    @property
    def static_agreement(self) -> bytes | None:
        """What ``ss`` gave in the last message, if ``agreements`` were given: a secret, for them and nobody else.

        It is the right one for ``remote_static``, proven or not; whether to keep it is the caller's to decide.
        """
        return self._progress.ss

    @property
    def handshake_hash(self) -> bytes:
        """GetHandshakeHash() (11.2): public, unique to the session, not a key. UsageError before the end."""
        self._require_finished()
        return self._progress.symmetric.handshake_hash

    def set_psk(self, position: int, psk: bytes) -> None:
        """Give the key of modifier ``psk<position>``, at the latest before its message; replaces an earlier
        one.

        UsageError if the pattern has no such modifier or its message is over, KeyFormatError unless 32 bytes.
        """
        self._check_psk(position, psk)
        self._setup = self._setup.with_psk(position, psk)

    def write_message(self, payload: bytes = b"") -> bytes:
        """WriteMessage(): return the next handshake message.

        UsageError out of turn or without a psk, MessageTooLargeError above 65,535 bytes in all,
        BadPublicKeyError if an agreement with the peer's key is refused. After an error the state is what it
        was before.
        """
        message = self._next_message(write=True)
        if self._setup.protocol.overheads[self._progress.index] + len(payload) > MAX_MESSAGE:
            raise MessageTooLargeError(f"a Noise message has at most {MAX_MESSAGE} bytes")
        step = self._progress.copy()
        parts = write_tokens(self._setup, step, message)
        parts.append(step.symmetric.encrypt_and_hash(payload))
        self._commit(step)
        return b"".join(parts)

    def read_message(self, message_untrusted: bytes) -> bytes:
        """ReadMessage(): return the payload of the peer's message.

        On hostile bytes: MalformedError (length), DecryptError (tag), BadPublicKeyError (key), nothing else.
        UsageError out of turn or without a psk. After an error the state is what it was before.
        """
        message = self._next_message(write=False)
        message_untrusted = bytes(message_untrusted)
        length = len(message_untrusted)
        if not self._setup.protocol.overheads[self._progress.index] <= length <= MAX_MESSAGE:
            raise MalformedError(f"handshake message {self._progress.index} cannot have {length} bytes")
        step = self._progress.copy()
        rest = read_tokens(self._setup, step, message, message_untrusted)
        payload = step.symmetric.decrypt_and_hash(rest)
        self._commit(step)
        return payload

    def split(self) -> tuple[CipherState, CipherState]:
        """Split(), once: the states for initiator to responder and back. UsageError before the end or again.

        After a one-way pattern the second has no key and refuses every use (7.4).
        """
        self._require_finished()
        if self._split:
            raise UsageError("a second Split() would use the same nonces again")
        self._split = True
        return self._progress.symmetric.split()

    def export_secret(self, info: bytes, length: int) -> bytes:
        """Return ``length`` secret bytes bound to ``info``, derived beside Split(); UsageError before the
        end.

        HKDF (RFC 5869) over the protocol's hash: ikm = the final chaining key, no salt. It reveals nothing of
        the transport keys, nor they of it.
        """
        self._require_finished()
        return self._progress.symmetric.export(info, length)

    def copy(self) -> Self:
        """Return an independent handshake in the same state (the key source is shared). Costs nothing.

        Follow one of the two and drop the other: both would use the same keys and nonces.
        """
        twin = type(self).__new__(type(self))
        # Neither is ever changed: a message and a psk make another one.
        twin._setup, twin._progress, twin._split = self._setup, self._progress, self._split
        return twin

    def _check_psk(self, position: int, psk: bytes) -> None:
        if position not in self.protocol.pattern.psk_positions:
            raise UsageError(f"{self.protocol.name} has no modifier psk{position}")
        if self._progress.index > max(position - 1, 0):
            raise UsageError(f"psk{position} comes after its message")
        if len(psk) != PSK_LENGTH:
            raise KeyFormatError("a psk has 32 bytes")

    def _next_message(self, *, write: bool) -> Message:
        pattern, index, setup = self._setup.protocol.pattern, self._progress.index, self._setup
        if index == len(pattern.messages):
            raise UsageError("the handshake has finished")
        if ((index % 2 == 0) == setup.initiator) != write:
            raise UsageError("it is the peer's turn to write" if write else "it is our turn to write")
        message = pattern.messages[index]
        if len(setup.psks) < len(pattern.psk_positions):
            for token in message:
                if token in PSK_TOKENS and PSK_TOKENS[token] not in setup.psks:
                    raise UsageError(f"{token} was not given")
        return message

    def _commit(self, step: Progress) -> None:
        step.index += 1
        self._progress = step

    def _require_finished(self) -> None:
        if not self.is_finished:
            raise UsageError("the handshake has not finished")

    def __repr__(self) -> str:
        role = "initiator" if self._setup.initiator else "responder"
        return f"<HandshakeState {self.protocol.name} {role} message={self._progress.index}>"


def _check_static(protocol: NoiseProtocol, s: StaticKey | None, *, needed: bool) -> None:
    if s is None and needed:
        raise UsageError(f"{protocol.name} needs a local static key")
    if s is not None and s.dh != protocol.dh.name:
        raise UsageError(f"the static key is of {s.dh}, the protocol of {protocol.dh.name}")
    if s is not None and len(s.public) != protocol.dh.public_length:  # of a foreign object, e.g. a TPM's
        raise KeyFormatError(f"a public key of {s.dh} has {protocol.dh.public_length} bytes")


def _check_remote(protocol: NoiseProtocol, rs: bytes | None, *, needed: bool) -> None:
    if (rs is not None) != needed:
        raise UsageError(f"{protocol.name}: the peer's static key is {'missing' if needed else 'not known before'}")
    if rs is not None:
        try:
            protocol.dh.check_public(rs)
        except BadPublicKeyError:
            raise KeyFormatError("the peer's static key is not a public key of the protocol") from None
