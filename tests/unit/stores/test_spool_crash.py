"""kill -9 at every step of a spool's work (SL-41, SL-42): what was told is there, what is there is whole."""

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from nodes.ports import LogState
from nodes.stores.spool import Spool
from nodes.stores.spoolfolder import SpoolFolder
from tests.helpers.sealed import sealed
from tests.helpers.spool_crash import LIMITS

ROOT = Path(__file__).parents[3]
SIZES = {"one": 300, "two": 70_000, "three": 5, "four": 1_000}
REACHED = {
    "received": {LogState.RECEIVED, LogState.HANDED_OVER, LogState.ACKNOWLEDGED},
    "handed over": {LogState.HANDED_OVER, LogState.ACKNOWLEDGED},
    "acknowledged": {LogState.ACKNOWLEDGED},
}


@pytest.fixture(scope="module")
def logs() -> dict[str, bytes]:
    return {name: sealed(size, name) for name, size in SIZES.items()}


@pytest.fixture(scope="module")
def crashes(tmp_path_factory: pytest.TempPathFactory, logs: dict[str, bytes]) -> list[Path]:
    """The folders that children left behind, the last one by its own will."""
    given, left = tmp_path_factory.mktemp("given"), tmp_path_factory.mktemp("left")
    for name, log in logs.items():
        (given / name).write_bytes(log)
    command = [sys.executable, "-m", "tests.helpers.spool_crash", str(left), *(str(given / name) for name in logs)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert (done.returncode, done.stderr) == (0, "")
    return sorted(left.iterdir())


def told(folder: Path) -> list[str]:
    """What the child was told is done."""
    return (folder / "told").read_text().splitlines()


def test_sl_41_what_was_told_is_there_and_what_is_there_is_whole(crashes: list[Path], logs: dict[str, bytes]) -> None:
    assert len(crashes) > 50
    assert told(crashes[-1])[-1] == "end"
    assert not any("end" in told(folder) for folder in crashes[:-1])
    for folder in crashes:
        with SpoolFolder.open(folder / "logs", create=True) as opened:
            _check(Spool(opened, LIMITS), told(folder), logs, folder.name)


def _check(spool: Spool, done: list[str], logs: dict[str, bytes], where: str) -> None:
    by_digest = {hashlib.sha256(log).digest(): log for log in logs.values()}
    for entry in spool.all():
        assert entry.sha256 in by_digest, where
        if entry.stored:
            with spool.content(entry.sha256) as view:
                assert view == by_digest[entry.sha256], where
        else:
            assert entry.state is LogState.ACKNOWLEDGED, where
    for line in done:
        name, _, state = line.partition(" ")
        if state in REACHED:
            found = spool.find(hashlib.sha256(logs[name]).digest())
            forgotten = name == "one" and found is None and "four received" in done  # one is remembered, not two
            assert forgotten or (found is not None and found.state in REACHED[state]), f"{where}: {line}"


def test_sl_42_every_log_arrives_after_any_crash(crashes: list[Path], logs: dict[str, bytes]) -> None:
    """Resumed where it came to; a half that was told is not sent again."""
    resumed = 0
    for folder in crashes:
        with SpoolFolder.open(folder / "logs", create=True) as opened:
            spool = Spool(opened, LIMITS)
            for name, log in logs.items():
                digest = hashlib.sha256(log).digest()
                if spool.find(digest) is not None:
                    continue
                writer = spool.receive(digest, len(log))
                if name == "two" and "two half" in told(folder):
                    assert writer.written_bytes >= 40_000, folder.name
                with spool.view_of(writer) as view:
                    assert view == log[: writer.written_bytes], folder.name
                    writer.resume(view)
                resumed += writer.written_bytes > 0
                writer.write(log[writer.written_bytes :])
                assert spool.finish(writer).stored
            assert not [path for path in (folder / "logs").iterdir() if path.suffix in {".part", ".tmp"}]
    assert resumed > 10
