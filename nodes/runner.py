"""THE pump: one task feeds a machine, one drains it, one keeps its deadline (design, section 2).

It knows bytes and time, and hands every event to its node. It ends when the machine is over or when it is cancelled;
the carrier is closed in any case.
"""

from collections.abc import Callable
from typing import Final

import trio

from nodes.ports import Carrier
from nodes.wakeup import Wakeup
from protocols.link.connection import Connection
from protocols.link.machine import Machine, MachineEvent

_BATCH: Final = 64
"""Packets per send: bounds how long a control message waits behind others."""
_LAST_WORDS_S: Final = 1.0
"""What a machine that is over may still need to send its goodbye; a peer that does not read gets no more."""

Dispatch = Callable[["Pump", MachineEvent], None]


class Pump:
    """Drives one machine over one carrier."""

    def __init__(self, machine: Machine, carrier: Carrier, dispatch: Dispatch) -> None:
        self.machine: Final = machine
        self.carrier: Final = carrier
        self.finished: Final = trio.Event()
        """Set when :meth:`run` has ended."""
        self.on_progress: dict[Connection, Callable[[], None]] = {}
        """Called when a connection may have messages; entries are the node's."""
        self._dispatch = dispatch
        self._output = Wakeup()
        self._rearm = Wakeup()
        self._idle = trio.Event()
        self._scope = trio.CancelScope()

    async def run(self) -> None:
        """Pump until the machine is over."""
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._tick)
                    nursery.start_soon(self._feed)
                    await self._drain()
                    self._scope.cancel()
        finally:
            self.turn()
            self._idle.set()
            with trio.CancelScope(shield=True):
                await self.carrier.aclose()
            self.finished.set()

    def stop(self) -> None:
        """End without a word: :meth:`run` returns, and the carrier is closed."""
        self._scope.cancel()

    def turn(self) -> None:
        """Take what the machine has to say: call it after every call of the machine or its connections."""
        self._take_events()
        for progress in tuple(self.on_progress.values()):
            progress()
        self.wake()

    def _take_events(self) -> bool:
        """Dispatch every event; whether there was one."""
        count = 0
        while (event := self.machine.next_event()) is not None:
            self._dispatch(self, event)
            count += 1
        return count > 0

    def wake(self) -> None:
        """Look again at what is to be sent, and when."""
        self._output.set()
        self._rearm.set()

    async def flush(self) -> None:
        """Wait until everything that may be sent now has been handed to the carrier, or the pump has ended."""
        idle = self._idle
        self._output.set()
        await idle.wait()

    async def _feed(self) -> None:
        while True:
            batch = await self.carrier.receive()
            now = trio.current_time()
            for data, address in batch:
                self.machine.receive(data, now, address)
            if not batch:
                self.machine.receive_end(now)
                self.turn()
                return
            self.turn()

    async def _drain(self) -> None:
        while True:
            while packets := self.machine.data_to_send(trio.current_time(), _BATCH):
                self._rearm.set()  # what leaves begins to wait for its acknowledgement
                await self.carrier.send(packets)
            if self._take_events():  # sending may end a connection: its key was used up
                self._rearm.set()
                continue
            self._idle.set()
            if self.machine.is_over:
                return
            self._idle = trio.Event()
            await self._output.wait()

    async def _tick(self) -> None:
        while not self.machine.is_over:
            deadline = self.machine.next_deadline()
            with trio.move_on_at(float("inf") if deadline is None else deadline):
                await self._rearm.wait()
            if deadline is not None and trio.current_time() >= deadline:
                self.machine.handle_deadline(trio.current_time())
                self.turn()
        await trio.sleep(_LAST_WORDS_S)  # usually _drain ends us long before
        self._scope.cancel()
