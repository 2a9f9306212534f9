"""A whole run of a topology: a folder, provisioning, configurations with ports of the day, the nodes, the report."""

import fcntl
import os
import tempfile
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

import trio

from nodes.stores.directory import OPEN_FLAGS
from nodes.topology.nodeconfig import Places, choose_ports, write_configs
from nodes.topology.provision import ids_of, provision
from nodes.topology.report import TopologyReport
from nodes.topology.runner import Runner, RunOptions
from nodes.topology.tables import Topology
from nodes.topology.view import View
from protocols.errors import ConfigError, StorageError

LOCK_NAME: Final = "run.lock"
"""In a folder that is kept: of two runs at a time, each would write the nodes' files of the other."""


async def run_topology(topology: Topology, folder: Path | None, options: RunOptions, view: View) -> TopologyReport:
    """Run a topology and return its report; in a temporary folder if ``folder`` is None.

    UsageError, ConfigError, StorageError; LinkTimeoutError if provisioning does not come to an end.
    """
    Runner.check(topology, options)
    with open_place(folder, options.tell) as place:
        options.tell(f"folder {place}")
        nodes = await provision(topology, place, options.tell)
        ids = await trio.to_thread.run_sync(ids_of, topology, nodes)
        write_configs(topology, nodes, Places(choose_ports(topology), ids))
        runner = Runner(topology, nodes, ids, replace(options, watch=view.take))
        with view.open(runner.board):
            return await runner.run()


@contextmanager
def open_place(folder: Path | None, tell: Callable[[str], None]) -> Generator[Path]:
    """Yield the folder of a run, ours alone meanwhile: a temporary one, that goes again, if none is named."""
    if folder is not None:
        lock = _lock(folder)
        try:
            yield folder
        finally:
            os.close(lock)
        return
    temporary = _temporary()
    try:
        with temporary as name:
            yield Path(name)
    finally:
        if os.path.lexists(temporary.name):
            tell(f"{temporary.name} could not be removed, and there are keys in it: remove it")


def _lock(folder: Path) -> int:
    """Make a folder ours for as long as the descriptor is open; ConfigError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT | OPEN_FLAGS, 0o600)
    except OSError as error:
        raise ConfigError(f"{folder} cannot be used: {os.strerror(error.errno or 0)}") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise ConfigError(f"{folder} is in use by another run: end that one first, or name another folder") from None
    return lock


def _temporary() -> "tempfile.TemporaryDirectory[str]":
    try:
        return tempfile.TemporaryDirectory(prefix="aerolink-run-", ignore_cleanup_errors=True)
    except OSError as error:
        raise StorageError(f"no temporary folder can be made: {error.strerror}; set TMPDIR to one with space") from None
