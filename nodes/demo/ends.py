"""What both ends of a demo have in common: fresh files, a link, tasks beside it, a meter, an end."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final

import trio

from nodes.demo.options import DemoOptions
from nodes.errors import LinkClosedError
from nodes.link import Link
from nodes.node import Node
from nodes.stations.notes import Finished, Line, LinkIsUp, Meter, Say, counts_of, say_alarms
from nodes.stores.statedir import StateDir
from nodes.trust import Stores
from protocols.airlink import Message, decode_untrusted
from protocols.crypto.fingerprint import fingerprint_text
from protocols.errors import MalformedError
from specs.airlink.numbers import Direction
from specs.registry import ChannelId

METER_S: Final = 0.2
"""Time between two meters."""


@asynccontextmanager
async def fresh_stores(folder: Path, dh: str) -> AsyncGenerator[Stores]:
    """Make a state folder with a new key, as files; closed at the end, removed by whoever made its parent."""
    state = await trio.to_thread.run_sync(partial(StateDir.open, folder, create=True))
    try:
        await trio.to_thread.run_sync(state.key_files.generate, dh)
        yield Stores(state.keys, state.peers, state.counters)
    finally:
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(state.close)


class End:
    """One end of a demo. Subclasses say what runs while the link is up."""

    name = ""
    """``drone`` or ``rc``."""

    def __init__(self, options: DemoOptions, folder: Path, say: Say) -> None:
        self.options = options
        self.say = say
        self._folder = folder
        self._over = False
        self._told = 0
        self._malformed = 0

    def tell(self, text: str) -> None:
        """Say that something has happened."""
        self.say(Line(self.name, text))

    def _read_untrusted(self, channel: ChannelId, data: bytes, direction: Direction) -> Message | None:
        """Return what a message says; None for one that says nothing: it is counted, and ends nothing."""
        try:
            return decode_untrusted(channel, data, direction)
        except MalformedError:
            self._malformed += 1
            if self._malformed == 1:
                self.tell(f"a message on {channel.name} says nothing and is left out, as will be all that follow")
            return None

    async def _serve(self, node: Node, link: Link) -> None:
        """Run :meth:`_tasks` until the link is down; LinkClosedError if that was too early."""
        self._link = link
        self.say(LinkIsUp(self.name, link.up.suite, fingerprint_text(link.key_id), link.up.handshake_s * 1_000))
        async with trio.open_nursery() as nursery:
            tasks: list[Callable[[], Awaitable[object]]] = [*self._tasks(), partial(self._measure, node)]
            for task in tasks:
                nursery.start_soon(_until_down, task)
            down = await link.wait_down()
            nursery.cancel_scope.cancel()
        self._told = say_alarms(node, self.name, self.say, self._told)
        if not self._over:
            raise LinkClosedError(f"the link between drone and rc was lost: {down.reason.value}")
        self.say(self._finished())

    def _tasks(self) -> tuple[Callable[[], Awaitable[object]], ...]:
        raise NotImplementedError

    def _finished(self) -> Finished:
        raise NotImplementedError

    def _meter(self) -> Meter:
        """Return what the link's counters are now; subclasses add theirs."""
        stats = self._link.stats()
        return Meter(
            node=self.name,
            at_s=trio.current_time(),
            sent_bytes=stats.link.bytes_sent,
            received_bytes=stats.link.bytes_received,
            classes=counts_of(stats.channels),
            rtt_ms=None if stats.rtt_s is None else stats.rtt_s * 1_000,
            rekeys=stats.link.rekeys,
        )

    async def _measure(self, node: Node) -> None:
        while True:
            self.say(self._meter())
            self._told = say_alarms(node, self.name, self.say, self._told)
            await trio.sleep(METER_S)


async def _until_down(task: Callable[[], Awaitable[object]]) -> None:
    """That the link is over is told by the link itself, not by each of its tasks."""
    try:
        await task()
    except LinkClosedError:
        await trio.sleep_forever()
