"""THE pump: one task feeds a machine, one drains it, one keeps its deadline (design, section 2).

It knows bytes and time, and hands every event to its node. It ends when the machine is over or when it is cancelled;
the carrier is closed in any case.

What is to be sent leaves at once, in the task that said it, as far as the carrier takes it without waiting and a bound
allows; the draining task has the rest. So a message costs no task switch, and a round trip only those of its readers.
"""

from collections.abc import Callable, Sequence
from typing import Final

import trio

from nodes.feeder import Feeder
from nodes.ports import Carrier
from nodes.wakeup import Wakeup
from protocols.link.connection import Connection, Packet
from protocols.link.machine import Machine, MachineEvent
from protocols.link.train import Train, one

_LAST_WORDS_S: Final = 1.0
"""What a machine that is over may still need to send its goodbye; a peer that does not read gets no more."""
_NEVER: Final = float("inf")

Dispatch = Callable[["Pump", MachineEvent], None]


class Pump:
    """Drives one machine over one carrier."""

    def __init__(self, machine: Machine, carrier: Carrier, dispatch: Dispatch) -> None:
        self.machine: Final = machine
        self.carrier: Final = carrier
        self.finished: Final = trio.Event()
        """Set when :meth:`run` has ended."""
        self.on_progress: dict[Connection, Callable[[], None]] = {}
        """Called when a connection may have messages, or room for some; entries are the node's."""
        self.now: Final = trio.lowlevel.current_clock().current_time
        """``trio.current_time``, without its way to the clock: it is asked for several times per message."""
        self._dispatch = dispatch
        self._output = Wakeup()
        self._rearm = Wakeup()
        self._quiet = trio.lowlevel.ParkingLot()
        self._rest: Sequence[Train] = ()
        """What the carrier did not take; it stands in the machine's buffers, which are left alone until it has gone."""
        self._draining = False
        """There was more to send than one batch."""
        self._armed_s = _NEVER
        self._closed = False
        self._feeder = Feeder(carrier, self._take_input)
        self._scope = trio.CancelScope()

    async def run(self) -> None:
        """Pump until the machine is over."""
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._tick)
                    nursery.start_soon(self._feeder.run)
                    await self._drain()
                    self._scope.cancel()
        finally:
            self._closed = True
            self._take_turn()
            with trio.CancelScope(shield=True):
                await self.carrier.aclose()
            self.finished.set()
            self._quiet.unpark_all()

    def stop(self) -> None:
        """End without a word: :meth:`run` returns, and the carrier is closed."""
        self._scope.cancel()

    def turn(self) -> None:
        """Take what the machine has to say and to send: call it after every call of the machine or its connections."""
        self._take_turn()
        if (
            self._draining
            or self._rest
            or self.machine.has_output
            or self.machine.deadline_moved
            or self.machine.is_over
        ):
            self.push()

    def wake(self) -> None:
        """Look again at what is to be sent, and when; soon."""
        self._output.set()
        self._rearm.set()

    async def wait(self, ready: Wakeup) -> None:
        """Wait until ``ready`` may have been set, and read the carrier meanwhile if nobody does; always a checkpoint.

        Afterwards look again at what you wait for, and clear ``ready`` before the next wait.
        """
        await self._feeder.wait(ready)

    async def flush(self) -> None:
        """Wait until everything that may be sent now has been handed to the carrier, or the pump has ended."""
        await trio.lowlevel.checkpoint()
        while not self.finished.is_set() and not self.push():
            await self._quiet.park()

    # --- one turn -------------------------------------------------------------------------------

    def _take_turn(self) -> None:
        self._take_events()
        for connection in self.machine.take_active():
            progress = self.on_progress.get(connection)
            if progress is not None:
                progress()

    def _take_events(self) -> bool:
        """Dispatch every event; whether there was one."""
        count = 0
        while (event := self.machine.next_event()) is not None:
            self._dispatch(self, event)
            count += 1
        return count > 0

    def push(self) -> bool:
        """Send a batch without waiting; whether there is nothing left to send now.

        One batch, and none while the draining task has more: others run between two, and a peer in the same loop reads.
        """
        if self._closed:
            return True
        if self._draining or self._send_batch():
            self._draining = True
            self._output.set()
            return False
        if self.machine.is_over:
            self.wake()
        elif self.machine.deadline_moved:
            due = self.machine.next_deadline()
            if due is not None and due < self._armed_s:
                self._rearm.set()  # what left begins to wait for its acknowledgement
        return not self._rest

    @property
    def is_clear(self) -> bool:
        """Whether nobody has anything to send, so that :meth:`hand_over` would overtake nothing."""
        return not (self._rest or self._draining or self._closed or self.machine.has_output)

    def hand_over(self, packet: Packet) -> None:
        """Send a packet without waiting; only while the pump :attr:`is_clear`."""
        self._give((one(*packet),))
        if self.machine.has_output:  # also when a deadline moved: both are told by a touch
            self.push()

    def _send_batch(self) -> bool:
        """Hand the carrier what it takes; whether there may be more to hand over at once."""
        if self._rest:
            return False
        trains = self.machine.trains_to_send(self.now())
        if trains and not self._give(trains):
            return False
        return self._take_events() or self.machine.has_more  # sending may end a connection: its key was used up

    def _give(self, trains: Sequence[Train]) -> bool:
        """Hand trains to the carrier; whether it took all of them. The draining task has the rest."""
        self._rest = self.carrier.send_now(trains)
        if self._rest:
            self._output.set()
        return not self._rest

    # --- the three tasks ------------------------------------------------------------------------

    def _take_input(self, trains: Sequence[Train]) -> None:
        now = self.now()
        for train in trains:
            self.machine.receive_train(train, now)
        if not trains:
            self.machine.receive_end(now)
        self.turn()

    async def _drain(self) -> None:
        while True:
            if self._rest:
                await self.carrier.send(self._rest)
                self._rest = ()
            elif self._send_batch():
                await trio.lowlevel.checkpoint()
            elif not self._rest:
                self._draining = False
                self._rearm.set()
                self._quiet.unpark_all()
                if self.machine.is_over:
                    return
                await self._output.wait()

    async def _tick(self) -> None:
        while not self.machine.is_over:
            due = self.machine.next_deadline()
            self._armed_s = _NEVER if due is None else due
            if self._armed_s > self.now():
                with trio.move_on_at(self._armed_s):
                    await self._rearm.wait()
            else:
                self.machine.handle_deadline(self.now())
                self.turn()
                await trio.lowlevel.checkpoint()
        await trio.sleep(_LAST_WORDS_S)  # usually _drain ends us long before
        self._scope.cancel()
