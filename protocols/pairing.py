"""Linking codes, the pairing window and the pair secret (specs/2-pairing.md)."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from protocols.crypto.kdf import hkdf_sha256
from protocols.typed import TypedFormat
from specs.registry import CODE_LIFETIME_S, CODE_TRIES, LINKING_CODE_BYTES, Role

_TEXT: Final = TypedFormat("a", "linking code", b"Aerolink linking code v1", LINKING_CODE_BYTES, 12, "seven")
_PAIR_SECRET_LABEL: Final = b"Aerolink pair secret v1"
_PAIR_ID_LABEL: Final = b"Aerolink pair id v1"
_PAIR_ID_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class LinkingCode:
    """128 random bits that a person carries from one device to the other (PR-1)."""

    secret: bytes = field(repr=False)
    """16 bytes."""

    @classmethod
    def generate(cls, entropy: Callable[[int], bytes]) -> "LinkingCode":
        """Make a new code from the operating system's randomness."""
        return cls(entropy(LINKING_CODE_BYTES))

    @classmethod
    def parse(cls, typed: str) -> "LinkingCode":
        """Read what a person typed (PR-3); CodeFormatError names the kind of mistake, never the text."""
        return cls(_TEXT.parse(typed))

    def text(self) -> str:
        """Seven groups of four characters (PR-2): show it to the user, nowhere else."""
        return _TEXT.text(self.secret)

    def psk0(self) -> bytes:
        """Return the pre-shared key of the pairing handshake (PR-10), 32 bytes."""
        return hkdf_sha256(self.secret, salt=b"", info=b"psk0", length=32)


def pair_secret_info(initiator: bytes, responder: bytes, roles: tuple[Role, Role]) -> bytes:
    """Return HKDF's info for the pair secret (PR-11): label, both static keys, both roles."""
    return _PAIR_SECRET_LABEL + initiator + responder + bytes(roles)


def pair_id_of(pair_secret: bytes) -> bytes:
    """Name a pair secret without telling it, 16 bytes: local, never sent (PR-37)."""
    return hashlib.sha256(_PAIR_ID_LABEL + pair_secret).digest()[:_PAIR_ID_BYTES]


class PairingWindow:
    """The time in which one code may be used, the tries that it has left, and who used it (PR-4, PR-20 f., PR-32)."""

    __slots__ = ("_kept", "_psk0", "claimed_by", "code", "expires_s", "is_used", "tries_left")

    def __init__(
        self, code: LinkingCode, now: float, lifetime_s: float = CODE_LIFETIME_S, tries: int = CODE_TRIES
    ) -> None:
        self.code: Final = code
        self.expires_s: Final = now + lifetime_s
        self.tries_left = tries
        self.claimed_by: bytes | None = None
        """Key id of the device that was accepted with this code: no other one may use it."""
        self.is_used = False
        """Whether that device has proven a session: the pairing is over, and was a success."""
        self._kept = b""
        self._psk0: Final = code.psk0()

    @property
    def psk0(self) -> bytes:
        """Pre-shared key of this window's handshakes."""
        return self._psk0

    def is_open(self, now: float) -> bool:
        """Whether a pairing may still begin or finish."""
        return now < self.expires_s and self.tries_left > 0

    def admits(self, key_id: bytes) -> bool:
        """Whether a device may use the code: anyone at first, then only the one that did (PR-32)."""
        return self.claimed_by in {None, key_id}

    def claim(self, key_id: bytes) -> None:
        """A device was accepted, and is being stored."""
        self.claimed_by = key_id

    def keep(self, pair_id: bytes) -> None:
        """It is stored, with this pair secret (:func:`pair_id_of`): the code stays its own."""
        self._kept = pair_id

    def release(self, key_id: bytes) -> None:
        """It could not be stored, or was given up before: the code is anybody's again, unless it was once."""
        if self.claimed_by == key_id and not self._kept:
            self.claimed_by = None

    def count_refused_try(self) -> bool:
        """Count a try that was refused; True when it was the last and the code has ended."""
        self.tries_left -= 1
        return self.tries_left == 0

    def finish(self, key_id: bytes, pair_id: bytes) -> None:
        """End the code when the device that used it has proven a session with what came of it (PR-32, PR-37)."""
        if self.claimed_by == key_id and self._kept == pair_id:
            self.tries_left = 0
            self.is_used = True
