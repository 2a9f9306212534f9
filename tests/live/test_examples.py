"""Every example runs, as a user would run it, and prints what its comment says."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXPECTED = {
    "embed_asyncio": "closed cleanly",
    "embed_sync": "closed cleanly",
    "authority": "the vehicle flies home",
    "four_nodes": "the cloud has the flight",
    "two_machines": "the drone received: take off",
    "udp_echo": "echo: hello",
    "own_message": "with it: Sprayed(millilitres=500)",
    "plot_telemetry": "heights, up to",
    "own_key_store": "gave out no key",
    "own_suite_policy": "refused: no link; the other device hints: it does not allow this suite",
}
ARGUMENTS = {"plot_telemetry": ["1"]}
"""Seconds."""


def test_every_example_is_known() -> None:
    assert {path.stem for path in (ROOT / "examples").glob("*.py")} == EXPECTED.keys()


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_example(name: str, tmp_path: Path) -> None:
    script = ROOT / "examples" / f"{name}.py"
    done = subprocess.run(
        [sys.executable, "-W", "error", str(script), *ARGUMENTS.get(name, [])],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert EXPECTED[name] in done.stdout
    assert done.stderr == ""


def test_telemetry_is_plotted_into_a_file(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    script = ROOT / "examples" / "plot_telemetry.py"
    picture = tmp_path / "plot.png"
    subprocess.run([sys.executable, str(script), "1", str(picture)], check=True, capture_output=True, timeout=60)
    assert picture.read_bytes().startswith(b"\x89PNG")
