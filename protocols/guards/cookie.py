"""mac1, mac2 and cookies: who does not own his address, or does not know whom he talks to, costs us nothing.

After WireGuard (whitepaper, 5.4.4 and 5.4.7), with the algorithms of specs/1-link.md:

- ``mac1`` proves that the sender knows whom it initiates to (the responder's static public key, or the
  linking code). Without it: silence.
- Under load the responder answers with a *cookie*, which only the owner of the source address receives, and
  wants ``mac2``, made with it, before it does any public-key work. It keeps no state per initiation for that.
- The cookie travels sealed, bound to the mac1 of the initiation that it answers, so an observer off the path
  cannot hand out false ones.

All comparisons take the same time wherever two MACs differ.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from protocols.crypto.ciphers import Aead
from protocols.crypto.kdf import constant_time_equal, hkdf_sha256, hmac_sha256
from protocols.errors import DecryptError, UsageError
from protocols.guards.address import Address, encode_address
from specs.registry import COOKIE_BYTES, COOKIE_LIFETIME_S, COOKIE_SALT_BYTES, MAC_BYTES

Buffer = bytes | bytearray | memoryview

_KEY_BYTES: Final = 32
_ZERO_NONCE: Final = bytes(12)
"""Each key seals one cookie: it comes from a fresh salt."""
MAX_SPENT: Final = 4_096
"""Implementation limit: initiations remembered by :class:`SpentInitiations` (about 1 MiB)."""


# --- mac1 and mac2 ------------------------------------------------------------------------------


def mac1_key(secret_or_public: bytes) -> bytes:
    """The key of mac1, from the responder's static public key (session) or the linking code (pairing)."""
    return hkdf_sha256(secret_or_public, b"", b"mac1", _KEY_BYTES)


def response_mac1_key(pair_secret: bytes) -> bytes:
    """The key of mac1 in the response of a session: only the paired peers know it (LK-20)."""
    return hkdf_sha256(pair_secret, b"", b"mac1 response", _KEY_BYTES)


def mac1(key: bytes, message: Buffer) -> bytes:
    """The first MAC, over the message up to where it stands."""
    return hmac_sha256(key, bytes(message), MAC_BYTES)


def mac2(cookie: bytes, message: Buffer) -> bytes:
    """The second MAC, over the message including mac1, keyed by a cookie."""
    return hmac_sha256(cookie, bytes(message), MAC_BYTES)


def verify_mac1(key: bytes, message: Buffer, received: Buffer) -> bool:
    """Whether ``received`` is the mac1 of ``message``."""
    return constant_time_equal(mac1(key, message), bytes(received))


# --- the cookie reply ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SealedCookie:
    """What a cookie reply carries."""

    salt: bytes
    """32 fresh random bytes."""
    sealed: bytes = field(repr=False)
    """The cookie and its tag, 32 bytes."""


def make_reply(key: bytes, initiation_mac1: bytes, cookie: bytes, salt: bytes) -> SealedCookie:
    """Seal ``cookie`` for the sender of the initiation; ``key`` is its mac1 key, ``salt`` 32 fresh bytes."""
    if len(cookie) != COOKIE_BYTES or len(salt) != COOKIE_SALT_BYTES:
        raise UsageError("a cookie has 16 bytes, a salt 32")
    cipher = Aead(hkdf_sha256(key, salt, b"cookie", _KEY_BYTES))
    return SealedCookie(salt, cipher.seal(_ZERO_NONCE, cookie, initiation_mac1))


def open_reply(key: bytes, initiation_mac1: bytes, reply: SealedCookie) -> bytes | None:
    """The cookie, if ``reply`` answers the initiation that carried this mac1; otherwise None: ignore it."""
    cipher = Aead(hkdf_sha256(key, reply.salt, b"cookie", _KEY_BYTES))
    try:
        cookie = cipher.open(_ZERO_NONCE, reply.sealed, initiation_mac1)
    except DecryptError:
        return None
    return cookie if len(cookie) == COOKIE_BYTES else None


# --- the responder's side -----------------------------------------------------------------------


class CookieJar:
    """The responder's secret, from which every cookie is computed again when it is needed.

    The secret changes every 120 s; cookies of the one before are still good, so a cookie lives 120 to 240 s.
    """

    __slots__ = ("_current", "_entropy", "_lifetime_s", "_made_at", "_previous")

    def __init__(self, entropy: Callable[[int], bytes], lifetime_s: float = COOKIE_LIFETIME_S) -> None:
        self._entropy = entropy
        self._lifetime_s = lifetime_s
        self._made_at: float | None = None
        self._current = b""
        self._previous = b""

    def cookie(self, address: Address, now: float) -> bytes:
        """The cookie of ``address``: 16 bytes that only who receives there can know."""
        self._rotate(now)
        return hmac_sha256(self._current, encode_address(address), COOKIE_BYTES)

    def verify_mac2(self, message: Buffer, received: Buffer, address: Address, now: float) -> bool:
        """Whether ``received`` is the mac2 of ``message``, made with a cookie of this address.

        Both secrets are always tried, and joined with ``|``: the time does not tell which one fitted.
        """
        self._rotate(now)
        encoded = encode_address(address)
        fits = (
            constant_time_equal(mac2(hmac_sha256(secret, encoded, COOKIE_BYTES), message), bytes(received))
            for secret in (self._current, self._previous)
        )
        return next(fits) | next(fits)

    def _rotate(self, now: float) -> None:
        if self._made_at is not None and now - self._made_at < self._lifetime_s:
            return
        # After a pause of two lifetimes or more the last secret is too old to be the previous one.
        recent = self._made_at is not None and now - self._made_at < 2 * self._lifetime_s
        self._previous = self._current if recent else self._entropy(_KEY_BYTES)
        self._current = self._entropy(_KEY_BYTES)
        self._made_at = now


class SpentInitiations:
    """Initiations whose mac2 held and that were let in, for as long as their cookie could be good (LK-26).

    An initiator sends each once. Whoever replays one from its source would otherwise use up what its owner needs.
    A full table forgets the oldest: to enter one costs a cookie of the source and a token of its bucket.
    """

    __slots__ = ("_entries", "_lifetime_s", "_max_entries")

    def __init__(self, lifetime_s: float = 2 * COOKIE_LIFETIME_S, max_entries: int = MAX_SPENT) -> None:
        self._lifetime_s = lifetime_s
        self._max_entries = max_entries
        self._entries: OrderedDict[tuple[bytes, bytes], float] = OrderedDict()

    def __len__(self) -> int:
        """How many initiations are remembered."""
        return len(self._entries)

    def add(self, source: bytes, initiation_mac1: bytes, now: float) -> None:
        """Remember an initiation of ``source``."""
        self._forget(now)
        if len(self._entries) >= self._max_entries:
            self._entries.popitem(last=False)
        self._entries[source, initiation_mac1] = now + self._lifetime_s

    def holds(self, source: bytes, initiation_mac1: bytes, now: float) -> bool:
        """Whether ``source`` was let in with this initiation before."""
        return self._entries.get((source, initiation_mac1), now) > now

    def _forget(self, now: float) -> None:
        while self._entries and next(iter(self._entries.values())) <= now:
            self._entries.popitem(last=False)
