"""Keeping a link: made, served, and made anew for as long as the station runs.

What goes wrong on the way is told once, and ends nothing: the other end may not be there yet, or come back.
"""

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, NoReturn

import trio

from nodes.errors import LinkClosedError
from nodes.link import Link
from nodes.uplink.backoff import Backoff, BackoffLimits
from nodes.wakeup import Wakeup
from protocols.errors import AerolinkError

FIRST_WAIT_S: Final = 0.25
LONGEST_WAIT_S: Final = 8.0
_SHORTEST_WAIT_S: Final = FIRST_WAIT_S / 2
STEADY_S: Final = 5.0
"""A link that lived so long was a good one: the next wait is the first again."""


@dataclass(frozen=True, slots=True)
class Keeper:
    """How a station keeps one link."""

    connect: Callable[[], Awaitable[Link]]
    """Makes the link; any AerolinkError says why not."""
    serve: Callable[[Link], Awaitable[object]]
    """Runs while the link is up; cancelled at its end."""
    tell: Callable[[str], None]
    """Told what changed, one line each."""
    name: str
    """What the link is called."""
    way: Wakeup = field(default_factory=Wakeup)
    """Set it when there may be a way again, as when a relay has come back: no wait outlasts that."""
    miss: Callable[[str], None] = lambda _: None
    """Told why there is no link, when that changes; :attr:`tell` says the same to people."""

    async def run(self) -> NoReturn:
        """Keep the link for ever."""
        backoff, said = Backoff(BackoffLimits(FIRST_WAIT_S, LONGEST_WAIT_S), secrets.token_bytes), ""
        while True:
            try:
                link = await self.connect()
            except AerolinkError as error:
                if str(error) != said:
                    said = str(error)
                    self.miss(said)
                    self.tell(f"{self.name}: {said}; trying again")
            else:
                began_s, said = trio.current_time(), ""
                self.way.is_set = False
                await serve_link(link, self.serve)
                self.tell(f"{self.name}: the link is down ({link.down.reason.value if link.down else 'closed'})")
                if trio.current_time() - began_s > STEADY_S:
                    backoff.reset()
            if await self._rest(backoff.next_s()):
                backoff.reset()

    async def _rest(self, rest_s: float) -> bool:
        """Wait, for a moment at least whatever a relay says; return whether there may be a way."""
        await trio.sleep(_SHORTEST_WAIT_S)
        with trio.move_on_after(rest_s - _SHORTEST_WAIT_S):
            await self.way.wait()
            return True
        return False


async def serve_link(link: Link, serve: Callable[[Link], Awaitable[object]]) -> None:
    """Run ``serve`` until the link is down; that it is, is told by the link and not by what runs on it."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(until_down, serve, link)
        await link.wait_down()
        nursery.cancel_scope.cancel()


async def until_down(serve: Callable[[Link], Awaitable[object]], link: Link) -> None:
    """Run something on a link, and wait for its end when that was noticed here first."""
    noticed = False
    try:
        await serve(link)
    except* LinkClosedError:  # of a task inside of it, too
        noticed = True
    if noticed:
        await trio.sleep_forever()
