"""Patterns and modifiers (Noise rev 34, sections 7, 9, 18.1; specs/noise-hfs.md)."""

from itertools import pairwise

import pytest

from protocols.errors import UnsupportedError
from protocols.noise import patterns
from protocols.noise.patterns import DH_TOKENS, PATTERNS, PSK_TOKENS, Pattern, Token, check_psk_validity
from protocols.noise.patterns import parse_pattern as parse
from tests.unit.noise.pair import names_of


def text(pattern: Pattern) -> str:
    return " / ".join(" ".join(message) for message in pattern.messages)


def test_the_table_is_complete() -> None:
    """7.4, 7.5, 18.1: 3 one-way, 12 fundamental, 23 deferred."""
    one_way = [name for name, pattern in PATTERNS.items() if pattern.is_one_way]
    deferred = [name for name in PATTERNS if "1" in name]
    assert one_way == ["N", "K", "X"]
    assert len(deferred) == 23
    assert len(PATTERNS) == 3 + 12 + 23


@pytest.mark.parametrize("name", PATTERNS)
def test_a_name_says_what_is_known_beforehand(name: str) -> None:
    """7.5: K stands for a static key that the other side knows; a one-way pattern's responder is known."""
    pattern = PATTERNS[name]
    letters = [letter for letter in name if letter.isalpha()]
    assert bool(pattern.initiator_pre) == (letters[0] == "K")
    assert bool(pattern.responder_pre) == (pattern.is_one_way or letters[1] == "K")


@pytest.mark.parametrize("name", PATTERNS)
def test_a_deferred_pattern_moves_authentication_to_the_next_message(name: str) -> None:
    """7.6: the same tokens as the fundamental pattern; es or se one message later (ss goes)."""
    fundamental = PATTERNS[name.replace("1", "")]
    for side, token in (("first", Token.SE), ("second", Token.ES)):
        letters = name[:2] if side == "first" else name[2 if name[1:2] == "1" else 1 :]
        moved = letters.endswith("1")
        before, after = (
            [i for i, message in enumerate(pattern.messages) if token in message]
            for pattern in (fundamental, PATTERNS[name])
        )
        assert after == [index + moved for index in before]


@pytest.mark.parametrize("base", PATTERNS)
def test_validity(base: str) -> None:
    """7.3, rules 1 to 4, and 9.3, for every pattern with every set of modifiers."""
    for name in names_of(base):
        pattern = parse(name)
        assert pattern.name == name
        check_validity(pattern)
        check_psk_validity(pattern)


def check_validity(pattern: Pattern) -> None:
    has = {0: {*pattern.initiator_pre}, 1: {*pattern.responder_pre}}
    done: list[Token] = []
    for index, message in enumerate(pattern.messages):
        me = index % 2
        for token in message:
            if token in {Token.E, Token.S}:
                assert token not in has[me]  # rule 2
                has[me].add(token)
            if token in DH_TOKENS:
                assert token not in done  # rule 3
                assert Token(token.value[0]) in has[0]  # rule 1
                assert Token(token.value[1]) in has[1]
            done.append(token)
        for with_s, with_e in rule_4(me):  # before the payload
            assert with_s not in done or with_e in done


def rule_4(side: int) -> list[tuple[Token, Token]]:
    if side == 0:
        return [(Token.SE, Token.EE), (Token.SS, Token.ES)]
    return [(Token.ES, Token.EE), (Token.SS, Token.SE)]


@pytest.mark.parametrize(
    ("name", "messages"),
    [
        ("NNhfs", "e e1 / e ee ekem1"),
        ("NKhfs", "e es e1 / e ee ekem1"),
        ("XXhfs", "e e1 / e ee ekem1 s es / s se"),
        ("IKhfs", "e es e1 s ss / e ee ekem1 se"),
        ("IXhfs", "e e1 s / e ee ekem1 se s es"),
        ("KKhfs", "e es e1 ss / e ee ekem1 se"),  # the table of HFS has e, e1, es, ss
        ("INhfs", "e e1 s / e ee ekem1 se"),  # the table of HFS drops ee
        ("I1Khfs", "e es e1 s / e ee ekem1 / se"),
        ("XX1hfs", "e e1 / e ee ekem1 s / es s se"),
        ("XXhfs+psk0", "psk0 e e1 / e ee ekem1 s es / s se"),
        ("IKhfs+psk2", "e es e1 s ss / e ee ekem1 se psk2"),
        ("IKhfs+psk1", "e es e1 s ss psk1 / e ee ekem1 se"),
    ],
)
def test_placement_of_hfs(name: str, messages: str) -> None:
    """NH-8, NH-9, NH-10."""
    assert text(parse(name)) == messages
    assert parse(name).is_hybrid


@pytest.mark.parametrize("base", PATTERNS)
def test_hfs_adds_two_tokens_and_moves_none(base: str) -> None:
    """NH-8, NH-9: for every pattern; e1 is the initiator's, ekem1 the responder's, right behind ee."""
    added = {Token.E1, Token.EKEM1}
    for name in (name for name in names_of(base) if "hfs" in name):
        pattern = parse(name)
        classical = parse(name.replace("hfs+", "").replace("hfs", ""))
        stripped = tuple(tuple(t for t in message if t not in added) for message in pattern.messages)
        assert stripped == classical.messages
        assert not classical.is_hybrid
        places = [i for i, message in enumerate(pattern.messages) for token in message if token in added]
        assert places == [0, 1]
        assert (Token.EE, Token.EKEM1) in pairwise(pattern.messages[1])


@pytest.mark.parametrize("base", PATTERNS)
def test_placement_of_psk(base: str) -> None:
    """NH-10; 9.4: psk0 opens the first message, pskN closes message N."""
    for name in names_of(base):
        pattern = parse(name)
        assert name.endswith("+".join(f"psk{position}" for position in pattern.psk_positions))
        for token, position in PSK_TOKENS.items():
            if position in pattern.psk_positions:
                assert pattern.messages[max(position - 1, 0)][0 if position == 0 else -1] is token


@pytest.mark.parametrize(
    "name",
    [
        "", "x", "ZZ", "NN1", "xx", "XXpsk4", "XXpsk9", "Npsk2", "XXpsk", "XXpsk01", "XXpsk10", "XXpskx",
        "XXfallback", "XX+psk0", "XXpsk0+", "XXpsk0psk1", "XXpsk0+psk0", "XXpsk1+psk0", "XXpsk0+hfs",
        "XXhfs+hfs", "XXHFS", "Nhfs", "Khfs", "Xhfs", "XX\n", "XXpsk\u0660",
    ],
)  # fmt: skip
def test_what_is_not_offered(name: str) -> None:
    """NH-2, NH-9; 8.1: unknown, out of order, repeated, or impossible."""
    with pytest.raises(UnsupportedError):
        parse(name)


def test_psk_validity_rule() -> None:
    """9.3: nothing is encrypted under a psk before the sender's e."""
    bad = [
        ((Token.PSK0,), (Token.E,)),  # the payload
        ((Token.PSK0, Token.S, Token.E),),
        ((Token.E, Token.PSK1), (Token.S, Token.E)),  # the other side
    ]
    for messages in bad:
        with pytest.raises(UnsupportedError, match=r"9\.3"):
            check_psk_validity(Pattern("bad", (), (), messages))
    check_psk_validity(Pattern("good", (), (), ((Token.PSK0, Token.E), (Token.E,))))


def test_psk_validity_is_asked_for_every_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """9.3: a row added to the table later is judged as well."""
    row = Pattern("BAD", (), (), ((Token.S, Token.E),))
    monkeypatch.setattr(patterns, "PATTERNS", {"BAD": row})
    assert parse("BAD").messages == row.messages
    with pytest.raises(UnsupportedError, match=r"9\.3"):
        parse("BADpsk0")
