"""Documents that say themselves where their keys stand, against the scanner."""

import tomllib
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from nodes.config.lines import Where, key_lines
from tests.conftest import examples

Places = list[tuple[Where, int]]


@dataclass
class Part:
    """A piece of a document: its text, and the places in it, relative to where it begins."""

    text: str
    places: Places = field(default_factory=list[tuple[Where, int]])

    def add(self, text: str) -> None:
        self.text += text

    def put(self, part: "Part", under: Where) -> None:
        line = self.text.count("\n")
        self.places += [((*under, *where), line + down) for where, down in part.places]
        self.text += part.text


BARE = st.text("abcXYZ019_-", min_size=1, max_size=4)
ODD = st.sampled_from(["", " ", ".", "a.b", "=", "#", "[x]", "]", "a b", "ä", "'x'"])
TEXTS = st.sampled_from(
    [
        '""',
        "''",
        '"a = 1"',
        "'\\'",
        '"\\""',
        '"\\\\"',
        '"# ]}"',
        '""""""',
        "''''''",
        '"""\na = 1\n[b]\n"""',
        "'''\na = '''''",
        '"""x"""""',
        '"""\\"""\n"""',
        '"""\\\n   x"""',
        "'''\\'''",
    ]
)
OTHERS = st.sampled_from(["1", "-1.5e3", "true", "inf", "1979-05-27 07:32:00Z", "07:32:00", "0xff", "1_000"])
GAPS = st.sampled_from(["", " ", "\n", " # x = ]\n", "\n\n\t"])


@st.composite
def keys(draw: st.DrawFn) -> tuple[str, str]:
    """(as written, as meant)"""
    if draw(st.booleans()):
        name = draw(BARE)
        return draw(st.sampled_from([name, f'"{name}"', f"'{name}'", f'"\\u{ord(name[0]):04x}{name[1:]}"'])), name
    name = draw(ODD)
    return f'"{name}"', name


@st.composite
def arrays(draw: st.DrawFn, inner: st.SearchStrategy[Part]) -> Part:
    part = Part("[" + draw(GAPS))
    for index, item in enumerate(draw(st.lists(inner, max_size=3))):
        part.add(("," if index else "") + draw(GAPS))
        part.places.append(((index,), part.text.count("\n")))
        part.put(item, (index,))
        part.add(draw(GAPS))
    part.add("]")
    return part


@st.composite
def inline_tables(draw: st.DrawFn, inner: st.SearchStrategy[Part]) -> Part:
    part = Part("{ ")
    chosen = draw(st.dictionaries(BARE, inner, max_size=3))
    for number, (name, item) in enumerate(chosen.items()):
        part.add(", " if number else "")
        part.places.append(((name,), part.text.count("\n")))
        part.add(f"{name} = ")
        part.put(item, (name,))
    part.add(" }")
    return part


VALUES = st.recursive(
    st.one_of(TEXTS, OTHERS).map(Part), lambda inner: arrays(inner) | inline_tables(inner), max_leaves=6
)


@st.composite
def pairs(draw: st.DrawFn, document: Part, table: Where, used: set[str]) -> None:
    for _ in range(draw(st.integers(0, 4))):
        document.add(draw(st.sampled_from(["", "\n", "# a = 1\n", "  \t"])))
        written, name = draw(keys())
        if name in used:
            continue
        used.add(name)
        where = (*table, name)
        document.places.append((where, document.text.count("\n")))
        if draw(st.booleans()):
            written, where = f"{written} . sub", (*where, "sub")
            document.places.append((where, document.text.count("\n")))
        document.add(f"{written} = ")
        document.put(draw(VALUES), where)
        document.add(draw(st.sampled_from(["\n", "  # [x]\n", "\t\n"])))


@st.composite
def documents(draw: st.DrawFn) -> Part:
    document, used = Part(""), set[str]()
    draw(pairs(document, (), used))
    for _ in range(draw(st.integers(0, 3))):
        document.add(draw(st.sampled_from(["", "\n", "# [x]\n"])))
        written, name = draw(keys())
        if name in used:
            continue
        used.add(name)
        many = draw(st.integers(0, 2))
        document.places.append(((name,), document.text.count("\n")))
        for index in range(max(1, many)):
            table: Where = (name, index) if many else (name,)
            if many:
                document.places.append((table, document.text.count("\n")))
            document.add(f"[[ {written} ]]\n" if many else f"[{written}] # x\n")
            draw(pairs(document, table, set()))
    return document


@settings(max_examples=examples(30))
@given(documents(), st.booleans())
def test_lines_are_those_that_the_document_was_made_with(document: Part, windows: bool) -> None:
    text = document.text.replace("\n", "\r\n") if windows else document.text
    values = tomllib.loads(text)
    assert key_lines(text, values) == {where: line + 1 for where, line in document.places}


@settings(max_examples=examples(30))
@given(st.text(st.sampled_from("ab=.[]{}\"'\\#,\n 1")))
def test_any_valid_document_has_all_its_lines(text: str) -> None:
    try:
        values = tomllib.loads(text)
    except ValueError:
        return
    lines = key_lines(text, values)
    assert bool(lines) == bool(values)
    assert all(1 <= line <= text.count("\n") + 1 for line in lines.values())
