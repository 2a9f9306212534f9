import tomllib

import pytest

from nodes.config.lines import Where, key_lines

NASTY = '''\
# key = "comment"

a = 1
"b c" = "x = 1 # no comment"   # carrier = "comment"
'd.e' = 'no \\ escape'
f.g = true
f . "h" . i = 1979-05-27 07:32:00
"\\u006a" = """
k = "inside"
[inside]
\\""" still inside \\\\"""
l = \'\'\'
m = 1
'\'\'\'\'
n = """"quoted""""
o = [ # a comment ]
  1, [
    2.5, "],",
  ],
  { p = "}", q.r = [
    3 ] }
  , """
x = 1
""" ]
s = {}
t = []

[u]
v = "one"
[w . "x.y"]
z = 2
[[aa]]
bb = 3
[[aa]]
bb = 4
[aa.cc]
dd = 5
[[aa.ee]]
[w]
ff = 0x_f
'''.replace("0x_f", "0xf")

EXPECTED: dict[Where, int] = {
    ("a",): 3,
    ("b c",): 4,
    ("d.e",): 5,
    ("f",): 6,
    ("f", "g"): 6,
    ("f", "h"): 7,
    ("f", "h", "i"): 7,
    ("j",): 8,
    ("l",): 12,
    ("n",): 15,
    ("o",): 16,
    ("o", 0): 17,
    ("o", 1): 17,
    ("o", 1, 0): 18,
    ("o", 1, 1): 18,
    ("o", 2): 20,
    ("o", 2, "p"): 20,
    ("o", 2, "q"): 20,
    ("o", 2, "q", "r"): 20,
    ("o", 2, "q", "r", 0): 21,
    ("o", 3): 22,
    ("s",): 25,
    ("t",): 26,
    ("u",): 28,
    ("u", "v"): 29,
    ("w",): 39,
    ("w", "x.y"): 30,
    ("w", "x.y", "z"): 31,
    ("aa",): 32,
    ("aa", 0): 32,
    ("aa", 0, "bb"): 33,
    ("aa", 1): 34,
    ("aa", 1, "bb"): 35,
    ("aa", 1, "cc"): 36,
    ("aa", 1, "cc", "dd"): 37,
    ("aa", 1, "ee"): 38,
    ("aa", 1, "ee", 0): 38,
    ("w", "ff"): 40,
}


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_every_line_of_a_nasty_document(newline: str) -> None:
    text = NASTY.replace("\n", newline)
    assert key_lines(text, tomllib.loads(text)) == EXPECTED


def test_nothing() -> None:
    assert key_lines("", {}) == {}
    assert key_lines("\n# x\n", {}) == {}


DISAGREEING: list[tuple[str, dict[str, object]]] = [
    ("a = 1", {"a": 1, "b": 2}),
    ("a = 1\nb = 2", {"a": 1}),
    ("a = [1, 2]", {"a": [1]}),
    ("= 1", {}),
    ("a", {"a": 1}),
    ("a =", {"a": 1}),
    ("a = [1 {", {"a": [1]}),
    ("[a", {"a": {}}),
    ("[[a]", {"a": [{}]}),
]


@pytest.mark.parametrize(("text", "values"), DISAGREEING)
def test_what_does_not_agree_with_tomllib_has_no_lines(text: str, values: dict[str, object]) -> None:
    assert key_lines(text, values) == {}


def test_too_deep_has_no_lines_and_costs_little() -> None:
    text = ".".join("a" * 20_000) + " = 1"
    assert key_lines(text, {}) == {}
