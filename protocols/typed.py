"""Secrets that a person types: Crockford's base32 in groups of four, with a checksum that finds typing mistakes.

Linking codes (specs/2-pairing.md) and enrolment tokens (specs/10-key-life-cycle.md) are written so.
"""

import hashlib
import unicodedata
from dataclasses import dataclass
from typing import Final

from protocols.errors import CodeFormatError

_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_BITS: Final = 5
_GROUP: Final = 4
_LOOKALIKES: Final = str.maketrans({"O": "0", "I": "1", "L": "1"})
_MINUS: Final = "\u2212"
"""A dash to the eye, but not to Unicode."""


def _is_separator(character: str) -> bool:
    return character.isspace() or character == _MINUS or unicodedata.category(character) == "Pd"


@dataclass(frozen=True, slots=True)
class TypedFormat:
    """How one kind of secret is written."""

    article: str
    """"a" or "an"."""
    name: str
    """What people call it: "linking code"."""
    label: bytes
    """Goes before the content under the checksum, so that one kind is not taken for another."""
    content_bytes: int
    """Bytes that it carries."""
    check_bits: int
    """Bits of the checksum; content and checksum together fill whole groups."""
    groups: str
    """How many groups of four that makes, in words."""

    @property
    def characters(self) -> int:
        """How many characters are typed, without what separates them."""
        return (self.content_bytes * 8 + self.check_bits) // _BITS

    def text(self, content: bytes) -> str:
        """Return the content as groups of four characters joined by ``-``."""
        number = int.from_bytes(content, "big") << self.check_bits | self._checksum(content)
        characters = [_ALPHABET[number >> shift & 31] for shift in range(_BITS * (self.characters - 1), -1, -_BITS)]
        return "-".join("".join(characters[start : start + _GROUP]) for start in range(0, self.characters, _GROUP))

    def parse(self, typed: str) -> bytes:
        """Read what a person typed; CodeFormatError names the kind of mistake, never the text."""
        text = "".join(each for each in typed.upper() if not _is_separator(each)).translate(_LOOKALIKES)
        if len(text) != self.characters:
            raise CodeFormatError(
                f"{self.article} {self.name} has {self.characters} characters in {self.groups} groups of four; "
                f"this has {len(text)}"
            )
        number = 0
        for character in text:
            value = _ALPHABET.find(character)
            if value < 0:
                raise CodeFormatError(f"{self.article} {self.name} has digits and letters only, without U")
            number = number << _BITS | value
        content = (number >> self.check_bits).to_bytes(self.content_bytes, "big")
        if number & ((1 << self.check_bits) - 1) != self._checksum(content):
            raise CodeFormatError(f"the {self.name} has a typing mistake: its checksum does not fit")
        return content

    def _checksum(self, content: bytes) -> int:
        digest = hashlib.sha256(self.label + content).digest()
        return int.from_bytes(digest, "big") >> (len(digest) * 8 - self.check_bits)
