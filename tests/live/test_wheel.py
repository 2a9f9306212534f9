"""The wheel: built from a clean copy, installed into an empty environment elsewhere, used there."""

import json
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from tests.conftest import require_or_skip

ROOT: Final = Path(__file__).resolve().parents[2]
PACKAGES: Final = ("specs", "protocols", "nodes")
NOT_COPIED: Final = (".git", ".venv", "__pycache__", "*.egg-info", ".*_cache", ".hypothesis", ".coverage*", "dist")
EMBEDDING: Final = """
import trio, nodes
from nodes import Drone, Endpoint, MemoryCounterStore, MemoryKeyStore, MemoryPeerDirectory, RemoteController, Stores
from protocols.crypto.keys import SystemKeySource
key = SystemKeySource().dh_key
def stores(): return Stores(MemoryKeyStore([key("P256")]), MemoryPeerDirectory(), MemoryCounterStore())
async def main():
    async with Drone(stores()) as drone, RemoteController(stores()) as rc:
        where = await drone.listen(Endpoint("127.0.0.1", 0))
        link = await rc.connect((await rc.pair(drone.open_pairing(), where)).key_id, where)
        print(link.up.suite, nodes.__file__)
trio.run(main)
"""


@dataclass(frozen=True)
class Installed:
    """An environment that holds the wheel and what it needs, and nothing else."""

    wheel: Path
    bin: Path
    elsewhere: Path

    def run(self, *command: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.bin / command[0], *map(str, command[1:])],
            cwd=self.elsewhere,
            env={"PATH": "/usr/bin:/bin", "HOME": str(self.elsewhere), "PYTHONWARNINGS": "error"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


def _run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*map(str, command)], cwd=cwd, capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    copy = tmp_path / "copy"
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(*NOT_COPIED))
    built = _run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", cwd=copy)
    assert built.returncode == 0, built.stderr
    (path,) = (copy / "dist").glob("*.whl")
    return path


def _pip_for(folder: Path) -> tuple[str | Path, ...]:
    """Return our own pip, told to work in another environment: to install one there takes longer than all else."""
    return (sys.executable, "-m", "pip", "--python", folder / "python", "--disable-pip-version-check")


def install(wheel: Path, place: Path) -> Installed:
    elsewhere = place / "elsewhere"
    elsewhere.mkdir()
    made = _run(sys.executable, "-m", "venv", "--without-pip", place / "venv", cwd=place)
    assert made.returncode == 0, made.stderr
    pip = (*_pip_for(place / "venv" / "bin"), "--quiet", "install", "--no-compile")
    got = _run(*pip, "--only-binary", ":all:", "--require-hashes", "-r", ROOT / "requirements" / "run.txt", cwd=place)
    if got.returncode:
        require_or_skip(f"the pinned requirements cannot be installed here: {got.stderr.strip().splitlines()[-1]}")
    done = _run(*pip, "--no-deps", "--no-index", wheel, cwd=place)
    assert done.returncode == 0, done.stderr
    return Installed(wheel, place / "venv" / "bin", elsewhere)


def test_it_holds_the_packages_with_their_data_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (record,) = (name for name in names if name.endswith(".dist-info/RECORD"))
        metadata = archive.read(record.replace("RECORD", "METADATA")).decode()
        entries = archive.read(record.replace("RECORD", "entry_points.txt")).decode()
    info = record.removesuffix("RECORD")
    copy = wheel.parents[1]
    sources = {
        str(path.relative_to(copy)) for package in PACKAGES for path in (copy / package).rglob("*") if path.is_file()
    }
    assert {name for name in names if not name.startswith(info)} == sources
    expected = {f"{package}/py.typed" for package in PACKAGES}
    expected |= {"specs/1-link.md", "specs/threat-model.md", "specs/vectors/noise.txt"}
    expected |= {"nodes/topology/shipped/dual.toml", "nodes/topology/shipped/swarm.toml"}
    assert expected <= sources
    assert f"{info}licenses/LICENSE" in names
    assert "Name: aerolink\n" in metadata
    assert "Requires-Python: >=3.11\n" in metadata
    assert "aerolink = nodes.cli:main" in entries


def test_it_works_in_an_empty_environment(wheel: Path, tmp_path: Path) -> None:
    """One test, since the installation takes longest."""
    installed = install(wheel, tmp_path)
    _the_environment_is_empty(installed)
    _the_command_works(installed)
    _its_vectors_are_found_and_pass(installed)
    _a_program_embeds_it(installed)


def _the_environment_is_empty(installed: Installed) -> None:
    script = "from importlib.metadata import distributions; print(*(each.name.lower() for each in distributions()))"
    names = set(installed.run("python", "-c", script).stdout.split())
    assert "aerolink" in names
    assert not {"pytest", "hypothesis", "mypy"} & names
    assert installed.run("python", "-c", "import tests").returncode != 0
    assert _run(*_pip_for(installed.bin), "check", cwd=installed.elsewhere).returncode == 0


def _the_command_works(installed: Installed) -> None:
    demo = installed.run("aerolink", "demo", "--speed", "max", "--seconds", "0.2", "--json")
    assert demo.returncode == 0, demo.stderr
    report = json.loads(demo.stdout.splitlines()[-1])
    assert report["ok"] is True
    assert report["flight"]["sha256"] == report["delivered"]["sha256"]
    assert demo.stderr == ""
    topology = installed.run("aerolink", "run", "single", "--seconds", "1", "--json")
    assert topology.returncode == 0, topology.stderr
    assert json.loads(topology.stdout)["problems"] == []


def _its_vectors_are_found_and_pass(installed: Installed) -> None:
    found = installed.run("python", "-c", "import specs; print(specs.__path__[0])")
    vectors = installed.run("aerolink", "vectors", Path(found.stdout.strip()) / "vectors" / "noise.txt")
    assert vectors.returncode == 0, vectors.stderr
    assert " passed, 0 failed" in vectors.stdout.splitlines()[-1]


def _a_program_embeds_it(installed: Installed) -> None:
    script = installed.elsewhere / "embedding.py"
    script.write_text(EMBEDDING)
    done = installed.run("python", script)
    assert done.returncode == 0, done.stderr
    suite, where = done.stdout.split()
    assert suite == "P256+MLKEM768_AESGCM_SHA256"
    assert Path(where).is_relative_to(installed.bin.parent)
