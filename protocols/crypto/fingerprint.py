"""What names a static public key: the key id of the wire, and the fingerprint that people compare and type.

A fingerprint is the 16-byte key id in base32 (RFC 4648, without padding, lower case) in groups of four:
``abcd-efgh-ijkl-mnop-qrst-uvwx-yz``. 26 letters hold 130 bits, so the last letter has two spare bits; they
are zero, and any other value is refused: one key has one fingerprint.
"""

import base64
import hashlib
from collections.abc import Iterable
from typing import Final

from protocols.errors import KeyFormatError, UsageError
from specs.registry import KEY_ID_BYTES

_LABEL: Final = b"Aerolink key id v1"
_GROUP: Final = 4
_LETTERS: Final = 26
_ALPHABET: Final = frozenset("abcdefghijklmnopqrstuvwxyz234567")
_HEX: Final = frozenset("0123456789abcdef")
MIN_PREFIX_LETTERS: Final = 4
"""A shorter prefix is refused: it would more likely be a slip than a choice."""


def key_id_of(dh: str, public: bytes) -> bytes:
    """Return the first 16 bytes of SHA-256(label, length of the DH name as one byte, name, key)."""
    name = dh.encode("ascii")
    digest = hashlib.sha256(_LABEL + len(name).to_bytes(1, "big") + name + public).digest()
    return digest[:KEY_ID_BYTES]


def fingerprint_text(key_id: bytes) -> str:
    """Return a key id as people read it."""
    if len(key_id) != KEY_ID_BYTES:
        raise KeyFormatError(f"a key id has {KEY_ID_BYTES} bytes, not {len(key_id)}")
    letters = base64.b32encode(key_id).decode("ascii").rstrip("=").lower()
    return "-".join(letters[i : i + _GROUP] for i in range(0, _LETTERS, _GROUP))


def parse_fingerprint(text: str) -> bytes:
    """Return the key id that a typed fingerprint names; case, hyphens and blanks do not matter."""
    letters = _letters_of(text)
    if len(letters) != _LETTERS:
        raise KeyFormatError(f"a fingerprint has {_LETTERS} letters and digits, not {len(letters)}")
    key_id = base64.b32decode(letters.upper() + "=" * (-len(letters) % 8))
    if base64.b32encode(key_id).decode("ascii").rstrip("=").lower() != letters:
        raise KeyFormatError("this is no fingerprint: check its last letter")
    return key_id


def parse_key_id(text: str) -> bytes:
    """Return the key id that is written as a fingerprint, or as 32 hexadecimal digits; KeyFormatError."""
    key_id = _hex_key_id(text)
    return parse_fingerprint(text) if key_id is None else key_id


def match_fingerprint(text: str, key_ids: Iterable[bytes]) -> bytes:
    """Return the one key id whose fingerprint begins with ``text``; UsageError for none or several.

    A key id as alarms write it, all 32 hexadecimal digits, will do as well.
    """
    whole = _hex_key_id(text)
    letters = _letters_of(text if whole is None else fingerprint_text(whole))
    if len(letters) < MIN_PREFIX_LETTERS:
        raise UsageError(f"give at least the first {MIN_PREFIX_LETTERS} letters of the fingerprint")
    found = {key_id for key_id in key_ids if _letters_of(fingerprint_text(key_id)).startswith(letters)}
    if not found:
        raise UsageError("no known device has this fingerprint; `aerolink keys list` shows them")
    if len(found) > 1:
        raise UsageError(f"{len(found)} devices have fingerprints that begin so: give more letters")
    return found.pop()


def _hex_key_id(text: str) -> bytes | None:
    """Return the bytes of 32 hexadecimal digits; a fingerprint has fewer letters, so nothing is both."""
    digits = text.strip().lower()
    if len(digits) != 2 * KEY_ID_BYTES or not _HEX.issuperset(digits):
        return None
    return bytes.fromhex(digits)


def _letters_of(text: str) -> str:
    letters = "".join(text.replace("-", "").split()).lower()
    if not _ALPHABET.issuperset(letters):
        raise KeyFormatError("a fingerprint has only the letters a to z and the digits 2 to 7")
    return letters
