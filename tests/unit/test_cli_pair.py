"""What a person in front of ``aerolink pair`` sees and types."""

import io
import json
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from nodes.cli import main
from nodes.cli_pair import ask_code
from nodes.config.endpoint import Endpoint
from nodes.logs import take_down
from nodes.pairing import PairingScreen
from protocols.crypto.fingerprint import fingerprint_text
from protocols.errors import CodeFormatError, UsageError
from protocols.link.peers import PeerState
from protocols.pairing import LinkingCode
from tests.unit.stores.records import make_record

CODE = LinkingCode(bytes(range(16)))
WHERE = Endpoint("127.0.0.1", 14_600)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def typed(monkeypatch: pytest.MonkeyPatch, *lines: str) -> list[str]:
    asked: list[str] = []
    answers = iter(lines)

    def prompt(text: str, **_: object) -> str:
        asked.append(text)
        return next(answers)

    monkeypatch.setattr("sys.stdin", Terminal())
    monkeypatch.setattr("click.prompt", prompt)
    return asked


def test_a_person_may_mistype_twice(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    asked = typed(monkeypatch, "ABC", "XYZ", CODE.text())
    assert ask_code(as_json=False) == CODE
    assert len(asked) == 3
    assert capsys.readouterr().err.count("try again") == 2


def test_the_third_mistake_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    typed(monkeypatch, "A", "B", "C")
    with pytest.raises(CodeFormatError):
        ask_code(as_json=False)


def test_a_program_has_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"  {CODE.text().lower()}  \nmore\n"))
    assert ask_code(as_json=True) == CODE
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    with pytest.raises(UsageError, match="no linking code came"):
        ask_code(as_json=True)


def test_a_configuration_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pair", "--config", str(tmp_path / "drone.toml")]) == 3
    assert capsys.readouterr().err.endswith("drone.toml: there is no such file\n")
    take_down()


def test_a_terminal_shows_the_code_as_text_and_as_a_picture() -> None:
    out = Terminal()
    PairingScreen(out, as_json=False).show_code(CODE, WHERE, "udp", 300.0)
    assert f"Linking code: {CODE.text()}\n" in out.getvalue()
    assert out.getvalue().count("\u2588") > 50
    assert "127.0.0.1:14600 (udp) for 300 s" in out.getvalue()


async def test_a_terminal_counts_down(autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001
    monkeypatch.setenv("TERM", "xterm")
    out = Terminal()
    with trio.move_on_after(2.5):
        await PairingScreen(out, as_json=False).wait("waiting", trio.current_time() + 65)
    assert "waiting: 1:05 left" in out.getvalue()
    assert "waiting: 1:03 left" in out.getvalue()


@pytest.mark.parametrize(("state", "words"), [(PeerState.PAIRED, ""), (PeerState.PENDING, "will confirm it")])
def test_who_is_paired_now(state: PeerState, words: str) -> None:
    peer = make_record(state=state, name="bird")
    person, program = io.StringIO(), io.StringIO()
    PairingScreen(person, as_json=False).done(peer)
    PairingScreen(program, as_json=True).done(peer)
    assert person.getvalue().startswith(f"Paired with {peer.role.name.lower()} {fingerprint_text(peer.key_id)} (bird)")
    assert words in person.getvalue()
    assert json.loads(program.getvalue())["peer"]["state"] == state.value
