"""Lines on stdout while a node runs: whoever does not read them holds nothing up."""

import io
import json
import os
import sys
from pathlib import Path

import pytest

from nodes.cli_output import Outlet, own_thread, text_output, write_line

LONG = "x" * 1_000


@pytest.mark.parametrize("as_json", [True, False])
def test_a_reader_that_stops_holds_nobody_up_and_is_told_what_it_has_missed(as_json: bool) -> None:
    ours, theirs = os.pipe()
    outlet = Outlet(theirs, as_json=as_json, most=100)
    for number in range(1_000):  # a megabyte into a pipe of 64 KiB: returns at once, or not at all
        outlet.put(f"{number:04} {LONG}")
    reader = os.fdopen(ours)
    lines = [reader.readline().rstrip()]
    while "Omitted" not in lines[-1] and "left out" not in lines[-1]:
        lines.append(reader.readline().rstrip())
    outlet.put("the end")
    outlet.close(10)
    os.close(theirs)
    lines += reader.read().splitlines()
    reader.close()
    kept = [int(line[:4]) for line in lines if line.endswith(LONG)]
    omitted = [line for line in lines if "Omitted" in line or "left out" in line]
    assert lines[-1] == "the end"
    assert kept == sorted(kept)
    assert kept[0] == 0
    lost = sum(json.loads(line)["lines"] if as_json else int(line[1:].split()[0]) for line in omitted)
    assert lost == 1_000 - len(kept) > 0


def test_a_reader_that_never_comes_back_does_not_keep_the_command_from_ending() -> None:
    ours, theirs = os.pipe()
    outlet = Outlet(theirs, as_json=False)
    for _ in range(200):
        outlet.put(LONG)
    outlet.close(0.01)  # returns
    os.close(ours)  # ends the thread
    outlet.close(10)
    os.close(theirs)


def test_a_reader_that_has_gone_is_told_nothing_more() -> None:
    ours, theirs = os.pipe()
    os.close(ours)
    outlet = Outlet(theirs, as_json=False)
    outlet.put("nobody hears")
    outlet.close(10)
    outlet.put("nor this")
    outlet.close(10)
    os.close(theirs)


def test_lines_and_drawings_come_in_their_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "out"
    with path.open("w") as file:
        monkeypatch.setattr(sys, "stdout", file)
        write_line("before")
        with own_thread(as_json=False):
            write_line("one")
            out = text_output()
            out.write("two\nthr")
            out.write("ee\n")
            out.flush()
            assert not out.isatty()
            assert out.writable()
            write_line("four")
        write_line("after")
        assert text_output() is file
    assert path.read_text().split() == ["before", "one", "two", "three", "four", "after"]


def test_where_stdout_is_no_file_lines_are_written_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    text = io.StringIO()
    monkeypatch.setattr(sys, "stdout", text)
    with own_thread(as_json=False):
        write_line("one")
        assert text.getvalue() == "one\n"
