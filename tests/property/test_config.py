import tomllib
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nodes.config import Config, parse
from nodes.config.endpoint import parse_endpoint
from nodes.config.kinds import shown
from nodes.config.reader import kinds_of
from nodes.config.tables import TABLES
from protocols.errors import ConfigError

PATH = Path("some/aerolink.toml")
SNIPPETS = st.sampled_from(
    ["[node]\n", 'role = "drone"\n', 'role = "rc"\n', "[link]\n", 'connect = "[::1]:1"\n', "[[link]]\n", "x"]
    + ["limits.max_peers = 3\n", "speed = nan\n", "[flight]\n", "\x00", "[a.b]\n", "suites = [[]]\n", "= 1"]
    + [f"{key} = true\n" for key in ("role", "listen", "suites", "replay", "speed", "model")]
)


def _holds(data: bytes) -> None:
    try:
        config = parse(data, PATH)
    except ConfigError as error:
        said = str(error)
    else:
        assert isinstance(config, Config)
        config.link_config()  # refuses what the protocol does not allow
        tomllib.loads(data.decode("utf-8-sig"))
        return
    assert said.startswith("some/aerolink.toml")
    assert said.isprintable()


@settings(deadline=None)  # a busy machine is no failure
@given(st.binary())
@example(b"a = " + b"[" * 5000)
@example(b"a = " + b"1" * 5000)
@example(b".".join([b"a"] * 5000) + b" = 1")
@example(b"[" + b".".join([b"a"] * 5000) + b"]")
@example(b"a = " + b"{a=" * 5000)
@example(b"\xef\xbb\xbf[node]\nrole='rc'")
def test_any_bytes_give_a_config_or_a_config_error(data: bytes) -> None:
    _holds(data)


@settings(deadline=None)  # a busy machine is no failure
@given(st.lists(SNIPPETS).map("".join))
def test_any_mixture_gives_a_config_or_a_config_error(text: str) -> None:
    _holds(text.encode())


@settings(deadline=None)  # a busy machine is no failure
@given(
    st.sampled_from([(table, key) for table, cls in TABLES.items() for key in kinds_of(cls)]),
    st.one_of(
        st.integers(-(10**20), 10**20).map(str),
        st.floats().map(repr),
        st.text(st.characters(min_codepoint=32, max_codepoint=126, exclude_characters="'")).map("'{}'".format),
        st.sampled_from(["true", "[]", "{}", "1979-05-27", "07:32:00", "['udp']", "[1, 2]"]),
    ),
)
def test_any_value_of_any_key_gives_a_config_or_names_key_and_line(where: tuple[str, str], value: str) -> None:
    table, key = where
    role = "" if where == ("node", "role") else "[node]\nrole = 'drone'\n"
    text = f"{role}[{table}]\n{key} = {value}\n" if table != "node" or not role else f"{role}{key} = {value}\n"
    try:
        parse(text.encode(), PATH)
    except ConfigError as error:
        said = str(error)
    else:
        return
    assert said.startswith(f"some/aerolink.toml:{text.count(chr(10))}: ")
    assert f'"{key}"' in said


@settings(deadline=None)  # a busy machine is no failure
@given(st.text() | st.from_regex(r"[\[\]0-9a-f:.%-]+:[0-9]+", fullmatch=True))
def test_an_endpoint_is_written_as_it_was_read(text: str) -> None:
    try:
        endpoint = parse_endpoint(text)
    except ConfigError:
        return
    assert parse_endpoint(str(endpoint)) == endpoint
    assert 0 <= endpoint.port <= 65_535
    assert endpoint.host


@pytest.mark.parametrize("value", [10**5000, float("nan"), b"bytes", None, "\x1b[2J" * 100], ids=range(5))
def test_any_value_is_shown_on_one_short_line(value: object) -> None:
    assert len(shown(value)) <= 60
    assert shown(value).isprintable()
