"""``aerolink vectors`` and ``aerolink config check``."""

import io
import json
import re
import sys
from pathlib import Path
from typing import Final

import click

from nodes.cli_options import common_options

_SUMMARY: Final = re.compile(r"(\d+) passed, (\d+) failed, (\d+) unsupported")


@click.command(epilog="Example: aerolink vectors specs/vectors/*.json")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, readable=False), metavar="FILE...")
@common_options
def vectors(files: tuple[Path, ...], as_json: bool) -> int:
    """Run Noise test vectors through this suite.

    The last line is "N passed, N failed, N unsupported". Exit code 1 if a vector failed or a file could not be used.
    """
    from nodes.cli_vectors import run

    if not as_json:
        return run(files, sys.stdout)
    out = io.StringIO()
    code = run(files, out)
    *lines, last = out.getvalue().splitlines()
    found = _SUMMARY.match(last)
    counts = [int(number) for number in found.groups()] if found else [0, 0, 0]
    names = ("passed", "failed", "unsupported")
    sys.stdout.write(json.dumps({"ok": code == 0, **dict(zip(names, counts, strict=True)), "notes": lines}) + "\n")
    return code


@click.group(epilog="Example: aerolink config check drone.toml")
def config() -> None:
    """Look at configuration files."""


@config.command(epilog="Example: aerolink config check drone.toml")
@click.argument("file", type=click.Path(path_type=Path, readable=False))
@common_options
def check(file: Path, as_json: bool) -> int:
    """Show every problem of a configuration file, each with its line; exit code 1 if there is one."""
    from nodes.cli_config import run

    return run(file, sys.stdout, as_json=as_json)
