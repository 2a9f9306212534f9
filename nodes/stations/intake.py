"""What comes from the drone's side, alike at remote controller and mobile: what is shown, offers of logs, logs."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import trio

from nodes.incoming import IncomingObject
from nodes.link import Link
from nodes.stations.base import Station, answer_to
from nodes.stations.logs import LogDesk
from protocols.events import CommandReceived, StateReceived, StreamReceived
from protocols.messages import MessageTable

Shown = StateReceived | StreamReceived


@dataclass(frozen=True, slots=True)
class Intake:
    """What a station does with what its neighbour on the drone's side sends; ``run`` is a task of the link."""

    table: MessageTable[Any]
    """Messages of the link."""
    station: Station
    """Whose link it is."""
    desk: LogDesk
    """Where logs go."""
    show: Callable[[Shown], object]
    """Given what is for eyes."""
    on_log: Callable[[], None]
    """Told when a log was taken, or was not."""

    async def run(self, link: Link) -> None:
        """Take what comes until the link ends."""
        async with trio.open_nursery() as nursery:
            async for event in link:
                if isinstance(event, Shown):
                    self.show(event)
                elif isinstance(event, CommandReceived):
                    answer = await self.desk.answer_untrusted(event.channel, event.data, self.table)
                    answer_to(link, event.id, event.channel, self.table.encode(answer))
                elif isinstance(event, IncomingObject):
                    nursery.start_soon(self._take_log, link, event)

    async def _take_log(self, link: Link, incoming: IncomingObject) -> None:
        await self.desk.take(incoming, self.station.tell, partial(self.station.refuse_log, link))
        self.on_log()
