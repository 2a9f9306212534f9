"""The product's suites: a frozen table. Adding one is adding a row; nothing is ever negotiated down."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from protocols.errors import UnsupportedError, UsageError

_PATTERN: Final = re.compile(r"([A-Z][A-Z0-9]*)((?:psk\d)(?:\+psk\d)*)?")


@dataclass(frozen=True, slots=True)
class Suite:
    """A set of algorithms, known on the wire by its number."""

    id: int
    """The number in the clear part of an initiation."""
    dh: str
    """Name of the DH function."""
    kem: str | None
    """Name of the KEM for hybrid forward secrecy, or None in a classical suite."""
    cipher: str
    """Name of the AEAD cipher."""
    hash: str
    """Name of the hash function."""

    @property
    def name(self) -> str:
        """The last three sections of the Noise protocol name, e.g. ``P256+MLKEM768_AESGCM_SHA256``."""
        agreement = self.dh if self.kem is None else f"{self.dh}+{self.kem}"
        return f"{agreement}_{self.cipher}_{self.hash}"

    def noise_name(self, pattern: str) -> str:
        """Return the protocol name for a classical pattern such as ``IKpsk2``; a hybrid suite adds ``hfs``.

        UsageError unless the pattern is a base name with psk modifiers only.
        """
        match = _PATTERN.fullmatch(pattern)
        if match is None:
            raise UsageError(f"{pattern!r} is not a base pattern with psk modifiers")
        base, psks = match.group(1), match.group(2)
        modifiers = [part for part in (self.kem and "hfs", psks) if part]  # alphabetical, Noise 8.1
        return f"Noise_{base}{'+'.join(modifiers)}_{self.name}"


SUITES: Final[Mapping[int, Suite]] = MappingProxyType(
    {
        row.id: row
        for row in (
            Suite(1, "P256", "MLKEM768", "AESGCM", "SHA256"),
            Suite(2, "25519", "MLKEM768", "ChaChaPoly", "BLAKE2s"),
            Suite(3, "P256", None, "AESGCM", "SHA256"),
            Suite(4, "25519", None, "ChaChaPoly", "BLAKE2s"),
        )
    }
)
DEFAULT_SUITE: Final = SUITES[1]

_BY_NAME: Final[Mapping[str, Suite]] = MappingProxyType({suite.name.lower(): suite for suite in SUITES.values()})


def suite_by_id(suite_id: int) -> Suite:
    """Return the suite with that number; UnsupportedError."""
    if suite_id not in SUITES:
        raise UnsupportedError(f"suite {suite_id} is not offered")
    return SUITES[suite_id]


def suite_by_name(name: str) -> Suite:
    """Return the suite with that name, in any case; UnsupportedError."""
    suite = _BY_NAME.get(name.lower())
    if suite is None:
        raise UnsupportedError(f"suite {name!r} is not offered; there are {', '.join(s.name for s in SUITES.values())}")
    return suite
