import io
import json
import os
import re
from dataclasses import fields
from pathlib import Path

import pytest

from nodes import cli_config
from nodes.config import Config, Endpoint, check, load, parse, parse_endpoint
from nodes.config.page import page
from nodes.config.tables import TABLES
from protocols.crypto.fingerprint import fingerprint_text
from protocols.crypto.suites import DEFAULT_SUITE, SUITES
from protocols.errors import ConfigError
from specs.registry import Role

CLOUD = '[node]\nrole = "cloud"\n'
DRONE = '[node]\nrole = "drone"\n'
RC = '[node]\nrole = "rc"\n'
KEY_ID = "0a" * 16
FULL = """\
[node]
role = "drone"
name = "Möwe 7"
state_dir = "/var/lib/aerolink"
log_level = "debug"
[link]
carrier = "tcp"
listen = "[::1]:0"
suites = ["P256_AESGCM_SHA256", "25519+MLKEM768_ChaChaPoly_BLAKE2s"]
[limits]
handshake_deadline_s = 5
keepalive_s = 0.5
dead_after_s = 3.0
rekey_after_s = 60
max_peers = 8
[flight]
replay = "flights/one.tlog"
speed = 2
[video]
enabled = true
bitrate_bps = 500_000
rate_hz = 25
"""


def problems_of(tmp_path: Path, text: str) -> list[str]:
    (tmp_path / "aerolink.toml").write_text(text, encoding="utf-8")
    return [problem.located("aerolink.toml") for problem in check(tmp_path / "aerolink.toml")]


def test_everything_has_a_default_and_stays_on_this_machine() -> None:
    config = parse(RC.encode(), Path("conf/aerolink.toml"))
    assert config.node.role is Role.RC
    assert config.node.state_dir == Path("conf/state")
    assert config.link.carrier == "udp"
    assert config.link.suites == (DEFAULT_SUITE,)
    for endpoint in (config.link.listen, config.link.connect):
        assert endpoint == Endpoint("127.0.0.1", 14_600)
    assert config.limits.rekey_after_s == 120
    assert (config.flight.replay, config.flight.model, config.video.enabled) == (None, False, False)


def test_a_device_is_named_by_its_key_id_or_its_fingerprint() -> None:
    of_a_drone, own = bytes.fromhex(KEY_ID), bytes(range(16))
    link = f'[link]\ndrones = ["{KEY_ID}@127.0.0.1:1", "{fingerprint_text(own)}@127.0.0.1:2"]'
    assert [key_id for key_id, _ in parse((RC + link).encode(), Path("a.toml")).link.drones] == [of_a_drone, own]
    owner = f'[authority]\nowner = "{fingerprint_text(own).upper()}"'
    assert parse((DRONE + owner).encode(), Path("a.toml")).authority.owner == own


def test_every_key_arrives(tmp_path: Path) -> None:
    path = tmp_path / "aerolink.toml"
    path.write_text(FULL, encoding="utf-8")
    config = load(path)
    assert config.node.role is Role.DRONE
    assert (config.node.name, config.node.log_level) == ("Möwe 7", "debug")
    assert config.node.state_dir == Path("/var/lib/aerolink")
    assert (config.link.carrier, config.link.listen) == ("tcp", Endpoint("::1", 0))
    assert config.link.suites == (SUITES[3], SUITES[2])
    assert (config.limits.keepalive_s, config.limits.max_peers) == (0.5, 8)
    assert type(config.limits.handshake_deadline_s) is float
    assert (config.flight.replay, config.flight.speed) == (tmp_path / "flights/one.tlog", 2.0)
    assert (config.video.enabled, config.video.bitrate_bps, config.video.rate_hz) == (True, 500_000, 25.0)
    (problem,) = check(path)
    assert problem.located("x") == f'x:17: "replay" in [flight]: there is no file {tmp_path}/flights/one.tlog'
    assert config.link_config().suites == config.link.suites
    assert (config.link_config().keepalive_s, config.link_config().max_peers) == (0.5, 8)


def test_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/eve")
    config = parse(f'{RC}state_dir = "~/.aerolink"'.encode(), Path("x.toml"))
    assert config.node.state_dir == Path("/home/eve/.aerolink")
    with pytest.raises(ConfigError, match="no such home folder"):
        parse(f'{RC}state_dir = "~nobody-of-this-name/x"'.encode(), Path("x.toml"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (DRONE + "[link]\ncaryer = 1", '4: unknown key "caryer" in [link]; did you mean "carrier"?'),
        (DRONE + '[link]\n"x\\u001by" = 1', '4: unknown key "x\\u001by" in [link]'),
        (DRONE + "[link.sub]\nx = 1", '3: unknown key "sub" in [link]'),
        (DRONE + "link.caryer = 1", '3: unknown key "link" in [node]'),
        ('link.caryer = "udp"\n' + DRONE, '1: unknown key "caryer" in [link]; did you mean "carrier"?'),
        ('link = { x = 1, carrier = "udp" }\n' + DRONE, '1: unknown key "x" in [link]'),
        (DRONE + "[lnk]", '3: unknown table [lnk]; did you mean "link"?'),
        (DRONE + '["a b"]', '3: unknown table ["a b"]'),
        ('carrier = "udp"\n' + DRONE, '1: unknown key "carrier" outside of any table; it belongs below [link]'),
        ("xyzzy = 1\n" + DRONE, '1: unknown key "xyzzy" outside of any table'),
        ("link = 3\n" + DRONE, "1: [link] must be a table, not 3"),
        (DRONE + "[[link]]", "3: [link] must be a table, not a list"),
        (DRONE + '[link]\ncarrier = "upd"', '4: "carrier" in [link] must be "udp" or "tcp", not "upd"; did you'),
        (DRONE + "[link]\ncarrier = true", '4: "carrier" in [link] must be "udp" or "tcp", not true'),
        (DRONE + '[link]\nlisten = "::1:5"', '4: "listen" in [link] is "::1:5": an IPv6 address stands in brackets'),
        (DRONE + "[link]\nlisten = 5", '4: "listen" in [link] must be "HOST:PORT", not 5'),
        (RC + '[link]\nconnect = "a:0"', '4: "connect" in [link] needs the port of the other end, not 0'),
        (DRONE + '[link]\nconnect = "a:1"', '4: "connect" in [link] is for role "rc", and this is "drone"'),
        (RC + "[video]\nenabled = true", '4: "enabled" in [video] is for role "drone", and this is "rc"'),
        (DRONE + "[link]\nsuites = []", '4: "suites" in [link] must be a list of at least one of'),
        (DRONE + '[link]\nsuites = "x"', '4: "suites" in [link] must be a list of at least one of'),
        (DRONE + '[link]\nsuites = [\n"p256_aesgcm_sha256"]', '5: "suites" in [link] lists "p256_aesgcm_sha256"; '),
        (DRONE + "[link]\nsuites = [\n3]", '5: "suites" in [link] lists 3; there are only'),
        (
            DRONE + '[link]\nsuites = ["P256_AESGCM_SHA256",\n"P256_AESGCM_SHA256"]',
            '5: "suites" in [link] lists "P256_AESGCM_SHA256" twice',
        ),
        (
            RC + f'[link]\ndrones = ["{KEY_ID}@127.0.0.1:1",\n"{KEY_ID.upper()}@127.0.0.1:2"]',
            f'5: "drones" in [link] lists drone "{KEY_ID}" twice',
        ),
        (DRONE + "[limits]\nrekey_after_s = 121", '4: "rekey_after_s" in [limits] must be a number from 1 to 120'),
        (DRONE + "[limits]\nrekey_after_s = nan", "not inf or nan"),
        (DRONE + "[limits]\nmax_peers = 1.0", '4: "max_peers" in [limits] must be a whole number from 1 to 65536'),
        (DRONE + "[limits]\nmax_peers = true", "not true"),
        (DRONE + "[limits]\nmax_peers = 99999999999999999999", "not so large a number"),
        (DRONE + "[limits]\nkeepalive_s = 10.0", '4: "dead_after_s" in [limits], 10, must be more than "keepalive_s"'),
        (DRONE + "[limits]\nkeepalive_s = 5\ndead_after_s = 4", "5: "),
        (DRONE + '[flight]\nmodel = "yes"', '4: "model" in [flight] must be true or false, without quotes, not'),
        (DRONE + "[flight]\nmodel = 2020-01-01", "not a date"),
        (DRONE + "[flight]\nmodel = 2020-01-01T00:00:00", "not a date"),
        (DRONE + "[flight]\nmodel = 10:00:00", "not a time"),
        (DRONE + "[flight]\nmodel = {}", "not a table"),
        (DRONE + '[flight]\nreplay = ""', '4: "replay" in [flight] must be a path in quotes, not ""'),
        (DRONE + '[flight]\nmodel = true\nreplay = "x"', '4: "model" and "replay" in [flight] exclude each other'),
        (DRONE + '[ground]\nlisten = "127.0.0.1:1"', '4: "listen" in [ground] is for role "rc", and this is "drone"'),
        (
            DRONE + "[cloud]\nenabled = true",
            '4: "enabled" in [cloud] is for role "mobile" or "rc", and this is "drone"',
        ),
        (DRONE + '[cloud]\nenrolment = "127.0.0.1:1"', 'for role "cloud" or "mobile" or "rc", and this is "drone"'),
        (CLOUD + "[cloud]\nnames = []", '4: "names" in [cloud] must be a list of at least one name'),
        (CLOUD + '[cloud]\nnames = ["a", 3]', '4: "names" in [cloud] lists a name that must be a text'),
        (CLOUD + '[cloud]\nnames = ["a", "a"]', '4: "names" in [cloud] lists "a", which is empty or there twice'),
        (DRONE + '[authority]\nholders = ["drone"]', '4: "holders" in [authority] lists "drone"; there are only'),
        (DRONE + "[authority]\nhold_after_s = 10", '4: "act_after_s" in [authority], 10, must be more than'),
        (DRONE + '[authority]\nowner = "0g"', '4: "owner" in [authority] must be a key id of 32 hexadecimal digits'),
        (DRONE + "[authority]\nowner = 3", '4: "owner" in [authority] must be a key id of 32 hexadecimal digits'),
        (DRONE + '[authority]\naction = "crash"', '4: "action" in [authority] must be "return" or "land"'),
        (DRONE + f'name = "{"x" * 65}"', '3: "name" in [node] must be a text of at most 64 printable characters'),
        (DRONE + 'name = "a\\nb"', '3: "name" in [node]'),
        ("", '"role" is missing in [node]: it must be "drone", "rc", "mobile" or "cloud"'),
        ('[node]\nname = "x"', '1: "role" is missing in [node]: it must be "drone", "rc", "mobile" or "cloud"'),
        ('[node]\nrole = "king"', '2: "role" in [node] must be "drone", "rc", "mobile" or "cloud", not "king"'),
        ("[node]\nrole = ", "2: this is not valid TOML: "),
        ("[node\n", "1: this is not valid TOML: "),
        ("[node]\nrole = 'rc'\nrole = 'rc'", "3: this is not valid TOML: "),
        (DRONE + '[link]\ncarrier = """\n', "this is not valid TOML: "),
        ("a = " + "1" * 5000, "a number has too many digits"),
        ("a = " + "[" * 5000, "nested too deeply"),
        ("x = '''\ncaryer = 1\n'''\n" + DRONE + "[link]\ncaryer = 1", '7: unknown key "caryer"'),
    ],
)
def test_each_problem_has_its_line_and_says_what_to_do(tmp_path: Path, text: str, expected: str) -> None:
    problems = problems_of(tmp_path, text)
    assert any(expected in problem for problem in problems), problems
    assert all(problem.isprintable() for problem in problems)
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "aerolink.toml")
    assert str(caught.value).startswith(str(tmp_path / "aerolink.toml"))
    assert str(caught.value).isprintable()


def test_all_problems_at_once_in_order(tmp_path: Path) -> None:
    text = "[limits]\nmax_peers = 0\nx = 1\n[node]\nrole = 3\n[link]\ny = 2\n[z]\n"
    problems = problems_of(tmp_path, text)
    assert [problem.split(":")[1] for problem in problems] == ["2", "3", "5", "7", "8"]
    with pytest.raises(ConfigError, match=r"\(and 4 more: aerolink config check .*aerolink\.toml\)$"):
        load(tmp_path / "aerolink.toml")


def test_files_that_cannot_be_read_are_one_line(tmp_path: Path) -> None:
    path = tmp_path / "aerolink.toml"

    def says(what: str) -> None:
        with pytest.raises(ConfigError, match=what) as caught:
            load(path)
        assert str(caught.value).isprintable()
        assert [bool(re.search(what, problem.located(path))) for problem in check(path)] == [True]

    says("there is no such file")
    path.mkdir()
    says("this is no regular file")
    path.rmdir()
    os.mkfifo(path)
    says("this is no regular file")
    path.unlink()
    path.write_bytes(b"[node]\nname = '\xff'")
    says("2: this is not UTF-8")
    path.write_bytes(b"#" * 70_000)
    says("at most 65536 bytes")
    path = Path("a\0b")
    says("cannot be read: not a file name|there is no such file")


def test_permission_denied_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    (tmp_path / "x").write_bytes(b"")
    monkeypatch.setattr(Path, "open", denied)
    with pytest.raises(ConfigError, match="cannot be read: Permission denied"):
        load(tmp_path / "x")


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:14600", "127.0.0.1", 14600),
        ("[::1]:1", "::1", 1),
        ("[fe80::1%eth0]:65535", "fe80::1%eth0", 65535),
        ("drone.local:0", "drone.local", 0),
        ("drone.local.:80", "drone.local.", 80),
    ],
)
def test_endpoints(text: str, host: str, port: int) -> None:
    assert parse_endpoint(text) == Endpoint(host, port)
    assert str(Endpoint(host, port)) == text


@pytest.mark.parametrize(
    "text",
    [
        *("", ":", "x", ":1", "x:", "x:-1", "x:65536", "x:\u0661", "x:1 ", "http://x:1", "1:1"),
        *("::1:1", "[::1]", "[::1]1", "[127.0.0.1]:1", "[]:1", "256.0.0.1:1", "1.2.3:1"),
        *("[::1%a b]:1", "[::1%]:1", "a b:1", "-a:1", "a..b:1", f"{'a' * 64}:1", f"{'a.' * 150}b:1"),
    ],
)
def test_what_is_no_endpoint(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_endpoint(text)


def test_the_page_in_docs_is_that_of_the_code() -> None:
    written = (Path(__file__).parents[2] / "docs" / "config.md").read_text(encoding="utf-8")
    assert written == page(), "make it anew: python -m nodes.config.page"
    for name, cls in TABLES.items():
        assert f"## [{name}]" in written
        for field in fields(cls):
            assert f"| `{field.name}` |" in written
    assert [field.name for field in fields(Config)] == list(TABLES)


def test_the_command(tmp_path: Path) -> None:
    path = tmp_path / "aerolink.toml"
    path.write_text(DRONE)
    assert _said(path) == (0, f"{path}: can be used\n")
    assert _said(path, as_json=True) == (0, json.dumps({"file": str(path), "ok": True, "problems": []}) + "\n")
    path.write_text("[node]\nrole = 'king'\n[x]\n")
    code, said = _said(path)
    assert (code, said.count("\n")) == (1, 2)
    assert said.startswith(f'{path}:2: "role" in [node] must be "drone", "rc", "mobile" or "cloud", not "king"\n')
    code, said = _said(path, as_json=True)
    assert [problem["line"] for problem in json.loads(said)["problems"]] == [2, 3]
    assert code == 1


def _said(path: Path, *, as_json: bool = False) -> tuple[int, str]:
    out = io.StringIO()
    return cli_config.run(path, out, as_json=as_json), out.getvalue()
