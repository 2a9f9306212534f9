"""Errors become lines and exit codes in one place."""

import io
import json
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from nodes import cli_errors
from nodes.cli import aerolink, main
from nodes.cli_async import run_async
from nodes.cli_errors import SignalledError, exit_code, report
from nodes.errors import BugError, ChildLostError, LinkClosedError, error_named, root_cause, told
from nodes.logs import set_up, take_down
from nodes.screen import Screen
from protocols import errors

_AEROLINK = "import sys; from nodes.cli import main; sys.exit(main())"
SECRET = "3M4J-NK92-A7V4-72FC-9RDF-7PFY-BXS5"


def _leaves(kind: type[errors.AerolinkError]) -> Iterator[type[errors.AerolinkError]]:
    yield kind
    for each in kind.__subclasses__():
        yield from _leaves(each)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.UsageError("x"), 2),
        (errors.UnsupportedError("x"), 2),
        (errors.CodeFormatError("x"), 2),
        (errors.KeyFormatError("x"), 2),
        (click.UsageError("x"), 2),
        (errors.ConfigError("x"), 3),
        (errors.StorageError("x"), 3),
        (errors.CounterLostError("x"), 3),
        (ChildLostError("x"), 3),
        (errors.LinkTimeoutError("x"), 4),
        (errors.TruncatedError("x"), 4),
        (LinkClosedError("x"), 4),
        (errors.DecryptError("x"), 5),
        (errors.NotPairedError("x"), 6),
        (errors.RevokedError("x"), 6),
        (errors.SuiteRefusedError("x"), 6),
        (errors.PairingClosedError("x"), 6),
        (KeyError("x"), 70),
        (BugError("x"), 70),
        (SignalledError(signal.SIGINT), 130),
        (KeyboardInterrupt(), 130),
        (click.Abort(), 130),
        (SignalledError(signal.SIGTERM), 143),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else str(value),
)
def test_each_error_has_its_code(capsys: pytest.CaptureFixture[str], error: BaseException, code: int) -> None:
    assert exit_code(error) == code
    assert report(ExceptionGroup("", [error]) if isinstance(error, Exception) else error, as_json=True) == code
    out, err = capsys.readouterr()
    assert err.count("\n") == 1
    assert json.loads(out)["error"] == {
        "kind": type(error).__name__,
        "message": err.removeprefix("aerolink: ").rstrip("\n"),
        "exit_code": code,
    }


def test_no_error_of_ours_is_a_bug() -> None:
    for kind in _leaves(errors.AerolinkError):
        if kind is not errors.AerolinkError:
            assert exit_code(kind("x")) != cli_errors.BUG


def test_the_text_of_a_bug_stays_out(capsys: pytest.CaptureFixture[str]) -> None:
    assert report(KeyError(SECRET), as_json=True) == cli_errors.BUG
    assert SECRET not in "".join(capsys.readouterr())


def test_debug_shows_where_a_bug_is(capsys: pytest.CaptureFixture[str]) -> None:
    stream = io.StringIO()
    set_up("debug", stream)
    try:
        report(KeyError("x"), as_json=False)
    finally:
        take_down()
    assert "KeyError" in stream.getvalue()
    assert capsys.readouterr().err.count("\n") == 1


def test_the_cause_of_a_group_is_the_worst_and_not_a_consequence() -> None:
    lost, policy, bug = LinkClosedError("down"), errors.NotPairedError("no"), KeyError("x")
    assert root_cause(ExceptionGroup("", [lost, ExceptionGroup("", [policy])])) is policy
    assert root_cause(ExceptionGroup("", [lost, policy, bug])) is bug
    assert root_cause(lost) is lost


def test_a_message_cannot_break_its_line_or_steer_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    report(errors.ConfigError("a\nb\x1b[31m"), as_json=False)
    assert capsys.readouterr().err == "aerolink: a?b?[31m\n"
    report(click.UsageError("choose:\n\tudp\n\ttcp"), as_json=False)
    assert capsys.readouterr().err == "aerolink: choose: udp tcp\n"


@pytest.mark.parametrize("error", [errors.StorageError("full"), LinkClosedError("down"), ChildLostError("gone")])
def test_errors_cross_a_pipe_by_name(error: errors.AerolinkError) -> None:
    again = error_named(type(error).__name__, told(error))
    assert type(again) is type(error)
    assert str(again) == str(error)


def test_what_is_no_error_of_ours_crosses_as_a_bug() -> None:
    assert isinstance(error_named("KeyError", "internal error: KeyError"), BugError)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_program_after_its_clean_up(number: int) -> None:
    import trio

    cleaned: list[bool] = []

    async def program() -> None:
        try:
            signal.raise_signal(number)
            await trio.sleep_forever()
        finally:
            cleaned.append(True)

    with pytest.raises(SignalledError) as caught:
        run_async(program)
    assert caught.value.code == 128 + number
    assert cleaned == [True]


def test_results_and_errors_pass_through() -> None:
    async def seven() -> int:
        return 7

    async def refuse() -> int:
        raise errors.NotPairedError("no")

    assert run_async(seven) == 7
    with pytest.raises(ExceptionGroup) as caught:
        run_async(refuse)
    assert isinstance(root_cause(caught.value), errors.NotPairedError)


def test_output_that_nobody_reads_ends_in_silence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object, **__: object) -> int:
        raise BrokenPipeError

    closed: list[bool] = []
    monkeypatch.setattr("nodes.cli_vectors.run", broken)
    monkeypatch.setattr("nodes.cli.close_output", lambda: closed.append(True))
    assert main(["vectors", "x.json"]) == cli_errors.OUTPUT_CLOSED
    assert closed == [True]
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("as_json", [False, True])
def test_output_that_closes_while_tasks_run(as_json: bool, capsys: pytest.CaptureFixture[str]) -> None:
    async def write() -> None:
        raise BrokenPipeError

    with pytest.raises(ExceptionGroup) as caught:
        run_async(write)
    assert report(caught.value, as_json=as_json) == cli_errors.OUTPUT_CLOSED
    assert capsys.readouterr() == ("", "")


def test_what_is_drawn_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """rich would end the program with 1: "the answer is no"."""

    def gone(_: object) -> None:
        raise BrokenPipeError

    monkeypatch.setattr(Screen, "_write_buffer", gone)
    with pytest.raises(BrokenPipeError):
        Screen().print("a table")


@pytest.mark.parametrize(
    ("command", "words"),
    [(("pair", "--config"), "no linking code came on stdin"), (("node", "mobile", "--enrol", "--config"), "no token")],
)
def test_closed_streams_are_empty_ones(command: tuple[str, ...], words: str, tmp_path: Path) -> None:
    """A service may be started so."""
    config = tmp_path / "node.toml"
    config.write_text('[node]\nrole = "mobile"\n')
    line = shlex.join([sys.executable, "-c", _AEROLINK, *command, str(config)])
    done = subprocess.run(["/bin/sh", "-c", f"{line} <&-"], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"aerolink: {words}")
    mute = subprocess.run(["/bin/sh", "-c", f"{line} <&- >&- 2>&-"], timeout=60, check=False)
    assert mute.returncode == 2


def test_ctrl_c_outside_of_trio(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(*_: object, **__: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("nodes.cli_vectors.run", interrupted)
    assert main(["vectors", "x.json"]) == 130
    assert capsys.readouterr().err.strip() == "aerolink: interrupted"


def test_the_table_is_in_the_help() -> None:
    assert aerolink.help is not None
    for code in (0, 1, 2, 3, 4, 5, 6, 70, 130, 143):
        assert f"{code} " in aerolink.help
