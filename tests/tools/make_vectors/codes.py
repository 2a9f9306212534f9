"""Linking codes as people type them (specs/2-pairing.md, 2.1)."""

import hashlib
from typing import Final

from tests.tools.make_vectors.base import Json, hkdf, secret

_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def letters_of(code: bytes, check: int | None = None) -> str:
    """Return the 28 characters, with the right checksum or another one."""
    right = int.from_bytes(hashlib.sha256(b"Aerolink linking code v1" + code).digest()[:2], "big") >> 4
    number = int.from_bytes(code, "big") << 12 | (right if check is None else right ^ check)
    return "".join(_ALPHABET[number >> 5 * place & 31] for place in range(27, -1, -1))


def grouped(letters: str, dash: str = "-") -> str:
    """Return groups of four."""
    return dash.join(letters[at : at + 4] for at in range(0, len(letters), 4))


def text_of(code: bytes) -> str:
    """Return the typed form (PR-2)."""
    return grouped(letters_of(code))


def vectors() -> list[Json]:
    """Return codes with every way of typing them that is accepted (PR-3)."""
    codes = {"all zero": bytes(16), "all ones": b"\xff" * 16}
    codes |= {f"random {number}": secret(f"code {number}", 16) for number in range(4)}
    return [
        {
            "name": name,
            "code": code,
            "text": text_of(code),
            "also": _typings(letters_of(code)),
            "psk0": hkdf(code, b"", b"psk0"),
            "mac1_key": hkdf(code, b"", b"mac1"),
        }
        for name, code in codes.items()
    ]


def _typings(letters: str) -> list[str]:
    lookalikes = letters.replace("0", "O").replace("1", "I")
    return [
        letters,
        grouped(letters).lower(),
        grouped(letters, " "),
        f"  {grouped(letters, ' - ')} ",
        grouped(letters, "\t") + "\n",
        grouped(letters, "\u00a0"),
        *(grouped(letters, dash) for dash in "\u2010\u2011\u2013\u2014\u2212"),
        grouped(lookalikes),
        grouped(lookalikes.replace("I", "l").replace("O", "o")),
    ]


def failures() -> list[Json]:
    """Return texts that are refused before a byte leaves."""
    code = secret("code 0", 16)
    letters = letters_of(code)
    swapped = letters[:8] + letters[9] + letters[8] + letters[10:]
    texts = {
        "nothing": ("", "length"),
        "one character less": (grouped(letters[:-1]), "length"),
        "one character more": (grouped(letters + "0"), "length"),
        "only dashes": ("-" * 28, "length"),
        "the letter U": (grouped("U" + letters[1:]), "alphabet"),
        "a dot": (grouped(letters[:-1] + "."), "alphabet"),
        "a fullwidth digit": (grouped("\uff11" + letters[1:]), "alphabet"),
        "another first character": (grouped(_next(letters, 0)), "checksum"),
        "another last character": (grouped(_next(letters, 27)), "checksum"),
        "two characters swapped": (grouped(swapped), "checksum"),
        "lowest check bit": (grouped(letters_of(code, 1)), "checksum"),
        "highest check bit": (grouped(letters_of(code, 1 << 11)), "checksum"),
    }
    return [{"name": name, "text": text, "expect": expect} for name, (text, expect) in texts.items()]


def _next(letters: str, at: int) -> str:
    other = _ALPHABET[(_ALPHABET.index(letters[at]) + 1) % 32]
    return letters[:at] + other + letters[at + 1 :]
