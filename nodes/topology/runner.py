"""Running a topology: each node lives, and when it has died it lives again; at the end there is a verdict."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final, NoReturn

import trio

from nodes.config.kinds import shown
from nodes.stations.notes import Note
from nodes.topology.board import Board
from nodes.topology.lives import Life, Live, live_inside
from nodes.topology.nodeconfig import CONFIG
from nodes.topology.record import RunRecord
from nodes.topology.report import TopologyReport, link_rows, node_rows
from nodes.topology.tables import Topology
from nodes.topology.verdict import faults, open_points
from protocols.errors import UsageError

AGAIN_S: Final = 1.0
"""Until a node that has died is started again."""
LONGEST_S: Final = 8.0
"""The longest that this grows to, for one that dies again and again."""
STEADY_S: Final = 5.0
"""A node that lived so long began well: the next wait is the first again."""
GRACE_S: Final = 15.0
"""When the time is over: for what is not there yet, as after a late restart."""
_LOOK_S: Final = 0.25


@dataclass(frozen=True, slots=True)
class Restart:
    """A node that is to be killed on purpose."""

    name: str
    """Which node."""
    at_s: float
    """Seconds since the run began."""


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How a topology is run."""

    seconds: float | None = None
    """How long; None: as long as the topology says."""
    restarts: Sequence[Restart] = ()
    """What is killed on purpose."""
    live: Live = live_inside
    """How nodes live."""
    tell: Callable[[str], None] = lambda _: None
    """Told what becomes of the nodes, for whoever wants to kill one."""
    watch: Callable[[Note], None] = lambda _: None
    """Told everything that the nodes say."""


@dataclass(slots=True)
class _Now:
    """A node at this moment."""

    life: Life | None = None
    pid: int = 0
    begun: trio.Event = field(default_factory=trio.Event)

    def leave(self) -> None:
        """It is not there, until it has begun again."""
        if self.begun.is_set():
            self.begun = trio.Event()


class Runner:
    """Runs the nodes that were provisioned in a folder. ``board`` may be looked at meanwhile."""

    def __init__(self, topology: Topology, nodes: Path, ids: Mapping[str, bytes], options: RunOptions) -> None:
        """Pass options that :meth:`check` has nothing against."""
        self.board: Final = Board(topology, ids)
        """Which links are up."""
        self.seconds: Final = _seconds(topology, options)
        """How long the run takes."""
        self._topology = topology
        self._nodes = nodes
        self._options = options
        self._now = {name: _Now() for name in topology.nodes}
        self._due = list(options.restarts)

    @staticmethod
    def check(topology: Topology, options: RunOptions) -> None:
        """UsageError if a restart names no node, or no time of the run."""
        seconds = _seconds(topology, options)
        for name, at_s in ((each.name, each.at_s) for each in options.restarts):
            if name not in topology.nodes:
                known = ", ".join(topology.nodes)
                raise UsageError(f"--restart: {topology.name} has no node {shown(name)}, only {known}")
            if not 0 <= at_s < seconds:
                raise UsageError(f"--restart: {name} cannot be killed after {at_s:g} s of a run of {seconds:g} s")

    async def run(self) -> TopologyReport:
        """Run for the time that was asked for, and a little longer for what is not there yet; the verdict."""
        record = RunRecord(self._topology, self.board, trio.current_time)
        whole = self.seconds >= self._topology.topology.seconds
        judge = partial(self._open_points, record, whole=whole)
        async with trio.open_nursery() as nursery:
            for name in self._topology.nodes:
                nursery.start_soon(self._keep, name, record)
            for restart in self._options.restarts:
                nursery.start_soon(self._kill, restart)
            await trio.sleep(self.seconds)
            with trio.move_on_after(GRACE_S):
                while any(judge()):  # noqa: ASYNC110  # telemetry gets old without an event
                    await trio.sleep(_LOOK_S)
            report = self._report(record, (*judge(), *faults(record)))
            nursery.cancel_scope.cancel()
        return report

    def _open_points(self, record: RunRecord, *, whole: bool) -> Iterator[str]:
        """Give what may still come; that a node is killed is not news before it has died."""
        for name, now in self._now.items():
            if not now.begun.is_set():
                yield f"{name} is not there"
        for restart in self._due:
            yield f"{restart.name} was to be killed after {restart.at_s:g} s, and was not: it was not there"
        yield from open_points(self._topology, self.board, record, whole=whole)

    async def _keep(self, name: str, record: RunRecord) -> NoReturn:
        """Let a node live, again and again."""
        wait_s = AGAIN_S
        while True:
            began_s = trio.current_time()
            end = await self._options.live(self._new_life(name, record))
            self._now[name].leave()
            record.end(name)
            self.board.end(name, end.why)
            if end.by_itself:
                record.faults.append(f"{name} has ended by itself: {end.why}")
            if trio.current_time() - began_s > STEADY_S:
                wait_s = AGAIN_S
            self._options.tell(f"{name} has ended ({end.why}); it starts again in {wait_s:g} s")
            await trio.sleep(wait_s)
            wait_s = min(2 * wait_s, LONGEST_S)

    def _new_life(self, name: str, record: RunRecord) -> Life:
        role = self._topology.nodes[name].role.name.lower()
        config = self._nodes / name / CONFIG
        life = Life(name, role, config, partial(self._say, record, name), partial(self._begin, record, name))
        self._now[name].life = life
        return life

    def _begin(self, record: RunRecord, name: str, pid: int) -> None:
        now = self._now[name]
        now.pid = pid
        now.begun.set()
        record.begin(name)
        self.board.begin(name, pid)
        self._options.tell(f"started {name}{f' (pid {pid})' if pid else ''}")

    def _say(self, record: RunRecord, name: str, note: Note) -> None:
        self.board.take(note)
        record.take(name, note)
        self._options.watch(note)

    async def _kill(self, restart: Restart) -> None:
        await trio.sleep(restart.at_s)
        now = self._now[restart.name]
        while not now.begun.is_set():  # who is away is killed when it is back, once for each time that was asked for
            await now.begun.wait()
        now.leave()
        self._due.remove(restart)
        self._options.tell(f"kills {restart.name}")
        if now.life is not None:
            now.life.kill.set()

    def _report(self, record: RunRecord, problems: Sequence[str]) -> TopologyReport:
        topology = self._topology
        roles = {name: node.role.name.lower() for name, node in topology.nodes.items()}
        pids = {name: now.pid for name, now in self._now.items()}
        return TopologyReport(
            topology.name,
            self.seconds,
            node_rows(record, roles, pids),
            link_rows(self.board, record),
            tuple(record.hand_overs),
            tuple(record.flights.values()),
            tuple(record.alarms),
            tuple(dict.fromkeys(problems)),
        )


def _seconds(topology: Topology, options: RunOptions) -> float:
    return topology.topology.seconds if options.seconds is None else options.seconds
