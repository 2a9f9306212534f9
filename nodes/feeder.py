"""Who waits for a carrier's input: the pump's own task, or a user's task that waits for a message anyway.

*Theory of operation.* A message that the pump's task reads reaches its user one turn of the loop later, and those turns
are what a round trip consists of. So a task that waits for a message *borrows* the reading: it waits for the carrier
itself, feeds the machine as the pump would, and has its message when it wakes. While borrowers come and go the pump's
task only looks from time to time whether anybody reads (*hot*); when one has been waiting undisturbed it stops looking,
and is called when the borrower leaves (*cold*). So borrowing costs nothing per message, no carrier is left alone for
longer than a look, and an idle node has no timer for it.

What sets a task's :class:`Wakeup` without any input (the end of a link, say) interrupts its reading. Whatever fails
while it reads, carrier or machine, fails in the pump's task: a user who catches errors must not keep a machine going
that is in no state to go on, and what came for others is no affair of his.
"""

from collections.abc import Callable, Sequence
from typing import Final

import trio

from nodes.ports import Carrier, Interrupted
from nodes.wakeup import Wakeup
from protocols.link.train import Train

_LOOK_S: Final = 0.004
"""How long a carrier may be left alone by a borrower who does not come back."""


class Feeder:
    """Reads one carrier, for ``take``; in whichever task."""

    def __init__(self, carrier: Carrier, take: Callable[[Sequence[Train]], None]) -> None:
        """``take`` is given what arrived; nothing means the end of the stream."""
        self._carrier = carrier
        self._take = take
        self._reading = False
        """Somebody waits for the carrier."""
        self._interruptible = False
        """... and it is a borrower."""
        self._wanted = False
        """A task would have borrowed, had we not been reading."""
        self._loans = 0
        self._cold = False
        self._called = Wakeup()
        self._ended = False
        self._failure: Exception | None = None
        """What a borrower met, for the pump's task."""

    async def run(self) -> None:
        """Read until the end of the stream, or let others; ClosedResourceError when the carrier is closed."""
        while not self._ended and self._failure is None:
            if self._reading or self._wanted:
                await self._stand_by()
            else:
                await self._read()
        if self._failure is not None:
            raise self._failure

    async def wait(self, ready: Wakeup) -> None:
        """Wait until ``ready`` may have been set; meanwhile, feed the machine if nobody else does. A checkpoint."""
        if self._reading or self._ended or self._failure is not None or ready.is_set:
            self._wanted = True
            await ready.wait()
            return
        self._loans += 1
        ready.on_set = self._interrupt
        try:
            while not self._is_done(ready):  # what came may have been for others
                self._interruptible = True
                await self._read()
        except Interrupted:
            pass
        except Exception as error:  # noqa: BLE001  # the pump's task raises it, and ends the link
            self._failure, self._wanted = error, False
            self._called.set()
            ready.on_set = None
            await ready.wait()
        finally:
            self._interruptible = False
            ready.on_set = None
            if self._cold:
                self._called.set()

    def _is_done(self, ready: Wakeup) -> bool:
        return ready.is_set or self._ended

    async def _read(self) -> None:
        self._reading = True
        try:
            trains = await self._carrier.receive()
        finally:
            self._reading = False
        self._interruptible = False  # what follows may wake whom it likes
        self._ended = not trains
        self._take(trains)
        if self._ended:
            self._called.set()

    async def _stand_by(self) -> None:
        """Look whether somebody reads; return when nobody does."""
        while True:
            loans = self._loans
            with trio.move_on_after(_LOOK_S):
                await self._called.wait()
            if not self._reading:
                self._wanted = False
                return
            if loans == self._loans:
                self._cold = True
                await self._called.wait()
                self._cold = False

    def _interrupt(self) -> None:
        if self._interruptible:
            self._interruptible = False
            self._carrier.interrupt()
