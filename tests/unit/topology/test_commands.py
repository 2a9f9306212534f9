"""``aerolink topology`` and what ``aerolink run`` says to mistakes; a supervised node's counters and its end."""

import json
from pathlib import Path

import pytest
import trio

from nodes.cli import main
from nodes.logs import take_down
from nodes.stations.notes import LinkIsDown, LinkMeter, Note
from nodes.topology import find, shipped, source_of
from nodes.working.supervised import Sparing, line_of, note_of
from protocols.errors import MalformedError
from tests.live.kit import virtual


def run(*arguments: str) -> int:
    try:
        return main(arguments)
    finally:
        take_down()


def test_the_list_has_one_a_line_its_name_first(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("topology", "list") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == shipped()
    assert all(find(name).topology.description in line for name, line in zip(shipped(), lines, strict=True))
    assert run("topology", "list", "--json") == 0
    rows = json.loads(capsys.readouterr().out)["topologies"]
    assert [row["name"] for row in rows] == shipped()
    assert rows[2]["nodes"] == 4
    assert run("topology", "list", "extra") == 2


def test_show_draws_who_goes_to_whom(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("topology", "show", "dual") == 0
    assert (
        capsys.readouterr().out
        == """\
dual: one drone, two operators who hand the right to fly to and fro
30 s, P256+MLKEM768_AESGCM_SHA256

drone  drone
left   rc, plays turns with right
         --udp--> drone
right  rc, plays turns with left
         --udp--> drone
"""
    )
    assert run("topology", "show", "dock", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["links"][1] == {"name": "rc-cloud", "from": "dock", "to": "cloud", "carrier": "https"}
    assert found["nodes"][1]["drones"] == ["drone"]
    assert (found["expects"]["flights"], "toml" in found) == (1, False)


def test_show_gives_the_file_to_begin_with(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run("topology", "show", "single", "--toml") == 0
    text = capsys.readouterr().out
    assert text.encode() == source_of("single")[0]
    (tmp_path / "my.toml").write_text(text)
    assert run("topology", "check", str(tmp_path / "my.toml")) == 0
    assert capsys.readouterr().out.endswith("my.toml: can be used\n")
    assert run("topology", "show", str(tmp_path / "my.toml"), "--toml", "--json") == 0
    assert json.loads(capsys.readouterr().out)["toml"] == text


def test_check_tells_every_problem(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "my.toml"
    file.write_text('[topology]\nname = "x"\n[nodes.a]\nroll = "drone"\n[expects]\nflight = 1\n')
    assert run("topology", "check", str(file)) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.removeprefix(f"{file}:").split(":")[0] for line in lines] == ["3", "4", "6"]
    assert run("topology", "check", str(file), "--json") == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["ok"], [problem["line"] for problem in found["problems"]]) == (False, [3, 4, 6])


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["run", "sngle"], 2, 'there is no topology "sngle"; did you mean "single"?'),
        (["run", "none.toml"], 3, "none.toml: there is no such file"),
        (["run", "single", "--restart", "rc"], 2, "'rc' must be NAME@SECONDS, for example rc@10"),
        (["run", "single", "--restart", "rc@soon"], 2, "must be NAME@SECONDS"),
        (["run", "single", "--restart", "rc@nan"], 2, "must be NAME@SECONDS"),
        (["run", "single", "--restart", "bob@3"], 2, 'single has no node "bob", only drone, rc, mobile, cloud'),
        (["run", "single", "--seconds", "5", "--restart", "rc@5"], 2, "rc cannot be killed after 5 s of a run of 5 s"),
        (["run", "single", "--seconds", "0"], 2, "0.0 is not in the range"),
        (["topology", "show", "none"], 2, "there is no topology"),
    ],
)
def test_a_mistake_is_one_line(arguments: list[str], code: int, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*arguments) == code
    errors = capsys.readouterr().err
    assert text in errors
    assert errors.startswith("aerolink: ")
    assert errors.count("\n") == 1


def test_a_folder_of_something_else_is_left_alone(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "nodes").mkdir()
    assert run("run", "single", "--folder", str(tmp_path)) == 3
    assert "is not of a topology: name another folder" in capsys.readouterr().err
    assert list((tmp_path / "nodes").iterdir()) == []


# --- supervised ---------------------------------------------------------------------------------


def meter(number: int, peer: str = "p") -> LinkMeter:
    return LinkMeter("rc", "drone-rc", {"state": {"sent": number, "received": 0, "lost": 0}}, 0, 1.5, 1, peer)


@virtual
async def test_counters_pass_once_a_second_and_the_last_before_the_end() -> None:
    said: list[Note] = []
    sparing = Sparing(said.append)
    for number in range(8):
        sparing.say(meter(number))
        await trio.sleep(0.2)
    assert said == [meter(0), meter(5)]
    sparing.say(meter(9, "other"))
    down = LinkIsDown("rc", "drone-rc", "p", "closed")
    sparing.say(down)
    assert said[2:] == [meter(9, "other"), meter(7), down]
    sparing.say(meter(1))  # of the next link
    assert said[-1] == meter(1)


def test_lines_come_back_as_notes() -> None:
    assert note_of(line_of(meter(3))) == meter(3)
    for line in ('{"ok": false}', "nothing", '{"event": "code", "code": "x"}', '["event"]'):
        with pytest.raises(MalformedError):
            note_of(line)
