"""A whole demo: a folder for the files of its nodes, the nodes, the report."""

import tempfile
from pathlib import Path

from nodes.demo.chain_report import ChainReport
from nodes.demo.inside import run_inside
from nodes.demo.options import DemoOptions
from nodes.demo.processes import run_processes
from nodes.demo.report import Report
from nodes.stations.notes import Note, Say
from protocols.errors import StorageError


async def run_demo(options: DemoOptions, watch: Say, *, processes: bool = False) -> Report | ChainReport:
    """Run a demo and return its report; ``watch`` is told everything meanwhile. Errors are those of the nodes."""
    report = Report(options) if options.two else ChainReport(options)

    def say(note: Note) -> None:
        report.take(note)
        watch(note)

    with _temporary_folder() as folder:
        await (run_processes if processes else run_inside)(options, Path(folder), say)
    return report


def _temporary_folder() -> "tempfile.TemporaryDirectory[str]":
    try:
        return tempfile.TemporaryDirectory(prefix="aerolink-demo-")
    except OSError as error:
        raise StorageError(f"no temporary folder can be made: {error.strerror}; set TMPDIR to one with space") from None
