"""The pump over carriers in memory: timers of what leaves, ends of all kinds, and nothing left behind."""

from collections import deque
from collections.abc import Iterable, Sequence

import pytest
import trio
import trio.testing

from nodes.runner import Pump
from nodes.testing import Datagram, MemoryNetwork, stream_pair
from protocols.events import DownReason, Event, Job, LinkDown
from protocols.guards.address import Address
from protocols.link.config import LinkConfig
from protocols.link.connection import Connection, Packet
from protocols.link.machine import Machine, MachineEvent
from protocols.link.train import Bytes, Train, one
from tests.live.kit import CLASSICAL, config_of, echo, linked, virtual


class Script(Machine):
    """A machine that does what the test says."""

    def __init__(self) -> None:
        super().__init__(bytes, datagram=True)
        self.received: list[bytes] = []
        self.waiting: list[bytes] = []
        self.deadline: float | None = None
        self.deadlines = 0
        self.ended = False
        self.over = False
        self.says_when_sent: Event | None = None

    def receive(self, data: Bytes, now: float, address: Address | None = None) -> None:  # noqa: ARG002
        self.received.append(bytes(data))

    def receive_end(self, now: float) -> None:
        if self.over:
            super().receive_end(now)
        self.ended = self.over = True

    def trains_to_send(self, now: float) -> list[Train]:
        trains = [one(data, None) for data in self.waiting]
        self.waiting.clear()
        if trains:
            self.deadline = now + 1.0  # as a retransmission timer
            if self.says_when_sent:
                self._emit(self.says_when_sent)
        return trains

    @property
    def _queue(self) -> deque[Packet]:
        return deque()

    def connections(self) -> Iterable[Connection]:
        return ()

    def next_deadline(self) -> float | None:
        return self.deadline

    def handle_deadline(self, now: float) -> None:  # noqa: ARG002
        self.deadline = None
        self.deadlines += 1

    def complete(self, job: Job, now: float) -> None:
        raise NotImplementedError

    @property
    def is_over(self) -> bool:
        return self.over


class Sink:
    """A carrier that takes everything and says nothing; ``stuck`` ones take nothing."""

    datagram = True

    def __init__(self, *, stuck: bool = False, error: Exception | None = None) -> None:
        self.sent: list[bytes] = []
        self.closed = False
        self._stuck = stuck
        self._error = error

    async def receive(self) -> Sequence[Train]:
        if self._error is not None:
            raise self._error
        await trio.sleep_forever()
        raise AssertionError

    def send_now(self, trains: Sequence[Train]) -> Sequence[Train]:
        if self._stuck:
            return trains
        self.sent += [bytes(train.data) for train in trains]
        return ()

    async def send(self, trains: Sequence[Train]) -> None:
        await trio.lowlevel.checkpoint()
        if self.send_now(trains):
            await trio.sleep_forever()

    def interrupt(self) -> None:
        raise NotImplementedError

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()
        self.closed = True


def ignore(_pump: Pump, _event: MachineEvent) -> None:
    pass


@virtual
async def test_what_leaves_arms_its_timer() -> None:
    machine = Script()
    pump = Pump(machine, Sink(), ignore)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pump.run)
        await trio.testing.wait_all_tasks_blocked()
        machine.waiting.append(b"data")
        pump.turn()
        await trio.sleep(1.5)
        assert machine.deadlines == 1
        pump.stop()


@virtual
async def test_events_of_sending_are_dispatched() -> None:
    machine = Script()
    machine.says_when_sent = LinkDown(DownReason.KEY_EXHAUSTED)
    events: list[Event] = []
    pump = Pump(machine, Sink(), lambda _, event: events.append(event[1]))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pump.run)
        await trio.testing.wait_all_tasks_blocked()
        machine.waiting.append(b"data")
        pump.wake()
        await trio.testing.wait_all_tasks_blocked()
        assert events == [machine.says_when_sent]
        pump.stop()


@virtual
async def test_the_end_of_the_machine_ends_the_pump_after_its_last_words() -> None:
    machine, carrier = Script(), Sink()
    pump = Pump(machine, carrier, ignore)
    machine.waiting.append(b"goodbye")
    machine.over = True
    await pump.run()
    assert carrier.sent == [b"goodbye"]
    assert carrier.closed
    assert pump.finished.is_set()


@virtual
async def test_a_peer_that_does_not_read_cannot_keep_an_ended_machine() -> None:
    machine, carrier = Script(), Sink(stuck=True)
    pump = Pump(machine, carrier, ignore)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pump.run)
        machine.waiting.append(b"data")
        pump.turn()
        await trio.testing.wait_all_tasks_blocked()
        machine.over = True
        pump.turn()
        with trio.fail_after(2):
            await pump.finished.wait()
    assert carrier.closed


@virtual
async def test_the_end_of_a_stream_reaches_the_machine() -> None:
    ours, theirs = stream_pair()
    machine = Script()
    pump = Pump(machine, ours, ignore)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pump.run)
        await theirs.send([one(b"data", None)])
        await trio.testing.wait_all_tasks_blocked()
        await theirs.aclose()
        await pump.finished.wait()
    assert machine.received == [b"data"]
    assert machine.ended


@pytest.mark.parametrize("stopped", [True, False])
@virtual
async def test_stop_and_cancel_close_the_carrier(stopped: bool) -> None:
    carrier = Sink()
    pump = Pump(Script(), carrier, ignore)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pump.run)
        await trio.testing.wait_all_tasks_blocked()
        if stopped:
            pump.stop()
            await pump.finished.wait()
        else:
            nursery.cancel_scope.cancel()
    assert carrier.closed
    assert pump.finished.is_set()
    await pump.flush()  # returns at once


@virtual
async def test_a_pump_stopped_before_it_ran() -> None:
    carrier = Sink()
    pump = Pump(Script(), carrier, ignore)
    pump.stop()
    await pump.run()
    assert carrier.closed


@virtual
async def test_an_error_of_a_carrier_leaves_and_closes_it() -> None:
    carrier = Sink(error=RuntimeError("the carrier"))
    pump = Pump(Script(), carrier, ignore)
    with pytest.raises(ExceptionGroup) as caught:
        await pump.run()
    assert caught.group_contains(RuntimeError)
    assert carrier.closed


@virtual
async def test_flush_waits_until_all_has_left() -> None:
    machine, carrier = Script(), Sink()
    pump = Pump(machine, carrier, ignore)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pump.run)
        await trio.testing.wait_all_tasks_blocked()
        machine.waiting += [bytes([number]) for number in range(200)]
        await pump.flush()
        assert len(carrier.sent) == 200
        pump.stop()


@virtual
async def test_a_lost_command_is_sent_again_by_its_own_timer() -> None:
    """Not by the next thing that happens to happen, such as a keep-alive two seconds later."""
    network = MemoryNetwork(delay_s=0.01)
    config = LinkConfig(suites=(CLASSICAL,), keepalive_s=100.0, dead_after_s=300.0, rekey_after_s=120.0)
    async with linked(config=config, network=network) as scene, trio.open_nursery() as nursery:
        nursery.start_soon(echo, scene.up)
        await scene.down.request(b"a first one, for the round trip")
        await trio.sleep(5)
        dropped: list[Datagram] = []

        def drop_one(datagram: Datagram) -> list[Datagram]:
            if dropped:
                return [datagram]
            dropped.append(datagram)
            return []

        network.tap = drop_one
        started = trio.current_time()
        assert await scene.down.request(b"lost once") == b"lost once"
        assert dropped
        assert trio.current_time() - started < 2.0
        nursery.cancel_scope.cancel()


@virtual
async def test_a_rekey_and_a_dead_peer_need_no_traffic() -> None:
    network = MemoryNetwork()
    config = config_of(CLASSICAL, LinkConfig(rekey_after_s=20.0))
    async with linked(config=config, network=network) as scene:
        await trio.sleep(100)
        assert scene.down.stats().link.rekeys >= 4
        assert scene.up.down is None
        network.loss = 1.0
        down = await scene.down.wait_down()
        assert down.reason is DownReason.TIMEOUT
        assert (await scene.up.wait_down()).reason is DownReason.TIMEOUT
