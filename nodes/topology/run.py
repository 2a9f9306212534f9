"""A whole run of a topology: a folder, provisioning, configurations with ports of the day, the nodes, the report."""

import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import trio

from nodes.topology.nodeconfig import Places, choose_ports, write_configs
from nodes.topology.provision import ids_of, provision
from nodes.topology.report import TopologyReport
from nodes.topology.runner import Runner, RunOptions
from nodes.topology.tables import Topology
from nodes.topology.view import View
from protocols.errors import StorageError


async def run_topology(topology: Topology, folder: Path | None, options: RunOptions, view: View) -> TopologyReport:
    """Run a topology and return its report; in a temporary folder if ``folder`` is None.

    UsageError, ConfigError, StorageError; LinkTimeoutError if provisioning does not come to an end.
    """
    Runner.check(topology, options)
    with _folder(folder) as place:
        options.tell(f"folder {place}")
        nodes = await provision(topology, place, options.tell)
        ids = await trio.to_thread.run_sync(ids_of, topology, nodes)
        write_configs(topology, nodes, Places(choose_ports(topology), ids))
        runner = Runner(topology, nodes, ids, replace(options, watch=view.take))
        with view.open(runner.board):
            return await runner.run()


@contextmanager
def _folder(folder: Path | None) -> Generator[Path]:
    if folder is not None:
        yield folder
        return
    with _temporary() as name:
        yield Path(name)


def _temporary() -> "tempfile.TemporaryDirectory[str]":
    try:
        return tempfile.TemporaryDirectory(prefix="aerolink-run-", ignore_cleanup_errors=True)
    except OSError as error:
        raise StorageError(f"no temporary folder can be made: {error.strerror}; set TMPDIR to one with space") from None
