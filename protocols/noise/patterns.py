"""Handshake patterns (Noise rev 34, sections 7, 9 and 18.1) and the modifiers that transform them.

A pattern is data: a row holds the initiator's and the responder's pre-message and the messages, initiator
first, separated by ``/``, written in the tokens of the specification. The handshake only ever walks through
such a row, so a pattern that is not in the table cannot be run by mistake, and a modifier is a function from
row to row.

One spelling differs: a ``psk`` token carries the number of its modifier, because a handshake may have several
keys.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from protocols.errors import UnsupportedError


class Token(StrEnum):
    """What a message is made of (7.1, 9.2; Noise HFS 4)."""

    E = "e"
    S = "s"
    EE = "ee"
    ES = "es"
    SE = "se"
    SS = "ss"
    E1 = "e1"
    EKEM1 = "ekem1"
    PSK0 = "psk0"
    PSK1 = "psk1"
    PSK2 = "psk2"
    PSK3 = "psk3"
    PSK4 = "psk4"


Message = tuple[Token, ...]

DH_TOKENS: Final = frozenset({Token.EE, Token.ES, Token.SE, Token.SS})
PSK_TOKENS: Final[Mapping[Token, int]] = MappingProxyType(
    {token: int(token.value[3:]) for token in Token if token.value.startswith("psk")}
)


@dataclass(frozen=True, slots=True)
class Pattern:
    """One handshake pattern with its modifiers applied."""

    name: str
    """Base name and modifiers, as in a protocol name."""
    initiator_pre: Message
    """What the responder knows of the initiator beforehand."""
    responder_pre: Message
    """What the initiator knows of the responder beforehand."""
    messages: tuple[Message, ...]
    """The messages' tokens; the initiator sends the first, then the parties alternate."""
    psk_positions: tuple[int, ...] = field(init=False, repr=False, compare=False)
    """Numbers of the psk modifiers, ascending."""

    def __post_init__(self) -> None:
        psks = tuple(PSK_TOKENS[token] for message in self.messages for token in message if token in PSK_TOKENS)
        object.__setattr__(self, "psk_positions", psks)

    @property
    def is_one_way(self) -> bool:
        """True if only the initiator ever sends (7.4)."""
        return len(self.messages) == 1

    @property
    def is_hybrid(self) -> bool:
        """True if the ``hfs`` modifier was applied."""
        return any(Token.EKEM1 in message for message in self.messages)


# name: (initiator's pre-message, responder's pre-message, messages)
_ROWS: Final[Mapping[str, tuple[str, str, str]]] = {
    # 7.4 one-way
    "N": ("", "s", "e es"),
    "K": ("s", "s", "e es ss"),
    "X": ("", "s", "e es s ss"),
    # 7.5 fundamental
    "NN": ("", "", "e / e ee"),
    "NK": ("", "s", "e es / e ee"),
    "NX": ("", "", "e / e ee s es"),
    "KN": ("s", "", "e / e ee se"),
    "KK": ("s", "s", "e es ss / e ee se"),
    "KX": ("s", "", "e / e ee se s es"),
    "XN": ("", "", "e / e ee / s se"),
    "XK": ("", "s", "e es / e ee / s se"),
    "XX": ("", "", "e / e ee s es / s se"),
    "IN": ("", "", "e s / e ee se"),
    "IK": ("", "s", "e es s ss / e ee se"),
    "IX": ("", "", "e s / e ee se s es"),
    # 18.1 deferred
    "NK1": ("", "s", "e / e ee es"),
    "NX1": ("", "", "e / e ee s / es"),
    "X1N": ("", "", "e / e ee / s / se"),
    "X1K": ("", "s", "e es / e ee / s / se"),
    "XK1": ("", "s", "e / e ee es / s se"),
    "X1K1": ("", "s", "e / e ee es / s / se"),
    "X1X": ("", "", "e / e ee s es / s / se"),
    "XX1": ("", "", "e / e ee s / es s se"),
    "X1X1": ("", "", "e / e ee s / es s / se"),
    "K1N": ("s", "", "e / e ee / se"),
    "K1K": ("s", "s", "e es / e ee / se"),
    "KK1": ("s", "s", "e / e ee se es"),
    "K1K1": ("s", "s", "e / e ee es / se"),
    "K1X": ("s", "", "e / e ee s es / se"),
    "KX1": ("s", "", "e / e ee se s / es"),
    "K1X1": ("s", "", "e / e ee s / se es"),
    "I1N": ("", "", "e s / e ee / se"),
    "I1K": ("", "s", "e es s / e ee / se"),
    "IK1": ("", "s", "e s / e ee se es"),
    "I1K1": ("", "s", "e s / e ee es / se"),
    "I1X": ("", "", "e s / e ee s es / se"),
    "IX1": ("", "", "e s / e ee se s / es"),
    "I1X1": ("", "", "e s / e ee s / se es"),
}


def _tokens(text: str) -> Message:
    return tuple(Token(word) for word in text.split())


def _row(name: str, pre_i: str, pre_r: str, messages: str) -> Pattern:
    return Pattern(name, _tokens(pre_i), _tokens(pre_r), tuple(_tokens(text) for text in messages.split("/")))


PATTERNS: Final[Mapping[str, Pattern]] = MappingProxyType({name: _row(name, *row) for name, row in _ROWS.items()})

_NAME: Final = re.compile(r"([A-Z][A-Z0-9]*)([a-z][a-z0-9]*(?:\+[a-z][a-z0-9]*)*)?")
_PSK: Final = re.compile(r"psk([0-9])")


def parse_pattern(section: str) -> Pattern:
    """Return the pattern of a name section such as ``XXhfs+psk0``; UnsupportedError for anything else."""
    match = _NAME.fullmatch(section)
    base = PATTERNS.get(match.group(1)) if match else None
    if match is None or base is None:
        raise UnsupportedError(f"handshake pattern {section!r} is not offered")
    modifiers = (match.group(2) or "").split("+") if match.group(2) else []
    # 8.1: where the order does not matter, as here, it is alphabetical. One protocol, one name.
    if modifiers != sorted(set(modifiers)):
        raise UnsupportedError(f"modifiers of {section!r} are repeated or not in alphabetical order")
    pattern = base
    for modifier in modifiers:
        pattern = with_hfs(pattern) if modifier == "hfs" else _with_psk(pattern, modifier)
    pattern = replace(pattern, name=section)
    check_psk_validity(pattern)
    return pattern


def _with_psk(pattern: Pattern, modifier: str) -> Pattern:
    # 9.4: psk0 opens the first message, pskN closes message N.
    match = _PSK.fullmatch(modifier)
    if match is None or int(match.group(1)) > len(pattern.messages):
        raise UnsupportedError(f"modifier {modifier!r} does not exist for {pattern.name}")
    token, messages = Token(modifier), list(pattern.messages)
    if token is Token.PSK0:
        messages[0] = (token, *messages[0])
    else:
        index = PSK_TOKENS[token] - 1
        messages[index] = (*messages[index], token)
    return replace(pattern, messages=tuple(messages))


def with_hfs(pattern: Pattern) -> Pattern:
    """Return the pattern with ``e1`` and ``ekem1`` placed (specs/noise-hfs.md); UnsupportedError without
    ``ee``.

    Noise HFS revision 1, section 5 as its text has it: ``e1`` directly after the first DH of the message that
    has the first ``e``, or after that ``e`` if the message has no DH; ``ekem1`` directly after the first
    ``ee``. Its table contradicts the text for KK and drops ``ee`` in IN: errata, the text rules.
    """
    messages = list(pattern.messages)
    carrier = next((i for i, message in enumerate(messages) if Token.EE in message), None)
    if carrier is None:
        raise UnsupportedError(f"{pattern.name} has no ee: hfs cannot be applied")
    anchor = next((token for token in messages[0] if token in DH_TOKENS), Token.E)
    messages[0] = _insert_after(messages[0], anchor, Token.E1)
    messages[carrier] = _insert_after(messages[carrier], Token.EE, Token.EKEM1)
    return replace(pattern, messages=tuple(messages))


def _insert_after(message: Message, anchor: Token, token: Token) -> Message:
    at = message.index(anchor) + 1
    return (*message[:at], token, *message[at:])


def check_psk_validity(pattern: Pattern) -> None:
    """Refuse with UnsupportedError a pattern that breaks the validity rule of 9.3.

    After a psk token no party may send encrypted data unless it has sent its ``e``: a key made of the psk
    alone would repeat from handshake to handshake, with the same nonces.
    """
    psk_seen = False
    e_sent = [False, False]
    for index, message in enumerate(pattern.messages):
        sender = index % 2
        for token in (*message, None):  # None stands for the payload
            psk_seen = psk_seen or token in PSK_TOKENS
            e_sent[sender] = e_sent[sender] or token is Token.E
            encrypts = token in {Token.S, Token.E1, Token.EKEM1, None}
            if encrypts and psk_seen and not e_sent[sender]:
                raise UnsupportedError(f"{pattern.name} encrypts under a psk before e was sent (Noise 9.3)")
