"""A node drives one machine for a device, and answers what the core asks: at once, or when the test says so."""

from collections import deque
from collections.abc import Callable, Iterable
from typing import Final, TypeVar

from protocols.errors import NotPairedError, PolicyError
from protocols.events import (
    AcceptBulk,
    Alarm,
    AlarmKind,
    BulkChunkReceived,
    BulkOffered,
    BulkReceived,
    BulkStatus,
    ChannelEvent,
    CommandReceived,
    CountersNeeded,
    EndBulk,
    Event,
    Job,
    LinkDown,
    LinkUp,
    PairingStored,
    PeerConfirmed,
    PeerIdentified,
    SendCommand,
    WorkNeeded,
)
from protocols.guards.address import Address
from protocols.link.client import Client
from protocols.link.config import LinkConfig
from protocols.link.connection import Connection
from protocols.link.listener import Listener
from protocols.link.machine import Machine
from protocols.link.server import ServerMachine
from protocols.link.stream_server import StreamServer
from protocols.pairing import LinkingCode
from tests.helpers.devices import DRONE, RC, Device

E = TypeVar("E", bound=object)
START_S: Final = 1_000.0
"""Where every world's clock begins: not 0, so that nothing depends on it."""


class Node:
    """Drives one machine, and keeps everything that it said."""

    def __init__(self, device: Device, machine: Machine, address: Address | None = None) -> None:
        self.device: Final = device
        self.machine: Final = machine
        self.address = address
        """Where it sends from; change it and the node has roamed."""
        self.events: list[tuple[Connection | None, Event]] = []
        self.links: list[Connection] = []
        self.inbox: list[tuple[Connection, ChannelEvent]] = []
        self.objects: dict[int, bytearray] = {}
        """Bytes of each incoming transfer."""
        self.finished: list[bytes] = []
        """Objects that arrived whole."""
        self.hold_work = False
        """Keep jobs in :attr:`work` instead of running them; likewise trust, stores and counters."""
        self.hold_trust = False
        self.hold_stores = False
        self.hold_counters = False
        self.work: deque[Job] = deque()
        self.questions: deque[PeerIdentified] = deque()
        self.storing: deque[PairingStored] = deque()
        self.jobs_run = 0
        self.answers_commands = True
        self.approve: Callable[[PeerIdentified], PolicyError | None] = lambda _: None
        """The user's word on a pairing."""
        self.counter_block = 64
        self.ended = False
        """Stream: our end was told to the peer."""

    # --- what tests ask -------------------------------------------------------------------------

    @property
    def client(self) -> Client:
        assert isinstance(self.machine, Client)
        return self.machine

    @property
    def listener(self) -> Listener:
        assert isinstance(self.machine, Listener)
        return self.machine

    @property
    def server(self) -> ServerMachine:
        assert isinstance(self.machine, ServerMachine)
        return self.machine

    @property
    def link(self) -> Connection:
        """The last link that came up."""
        return self.links[-1]

    @property
    def counts(self) -> dict[str, int]:
        """Handshake counters by name."""
        return self.machine.handshakes.as_dict()

    def all(self, kind: type[E]) -> list[E]:
        """Every event of a kind so far."""
        return [event for _, event in self.events if isinstance(event, kind)]

    def alarms(self) -> list[AlarmKind]:
        return [alarm.kind for alarm in self.all(Alarm)]

    def downs(self) -> list[LinkDown]:
        return self.all(LinkDown)

    def received(self, kind: type[E]) -> list[E]:
        """Every message of a kind so far."""
        return [message for _, message in self.inbox if isinstance(message, kind)]

    # --- the node's part ------------------------------------------------------------------------

    def turn(self, now: float) -> None:
        """Take and answer everything that the machine says."""
        progress = True
        while progress:
            progress = False
            while (item := self.machine.next_event()) is not None:
                progress = True
                self._take(*item, now)
            for connection in self.links:
                while (message := connection.next_message()) is not None:
                    progress = True
                    self._message(connection, message, now)

    def _take(self, connection: Connection | None, event: Event, now: float) -> None:
        if not isinstance(event, WorkNeeded):  # a job holds its handshake, which should be gone with it
            self.events.append((connection, event))
        match event:
            case WorkNeeded():
                self.work.append(event.job)
                if not self.hold_work:
                    self.do_work(now)
            case PeerIdentified():
                self.questions.append(event)
                if not self.hold_trust:
                    self.answer(now)
            case PairingStored():
                self.storing.append(event)
                if not self.hold_stores:
                    self.store(now)
            case CountersNeeded():
                if not self.hold_counters:
                    self.give_counters(now)
            case PeerConfirmed():
                self.device.confirm(event)
            case LinkUp():
                assert connection is not None
                self.links.append(connection)
            case _:
                pass

    def do_work(self, now: float, *, order: Callable[[list[Job]], Iterable[Job]] = list) -> None:
        """Run the jobs that wait, in any order, and hand over their outcomes."""
        jobs = list(self.work)
        self.work.clear()
        for job in order(jobs):
            job.run()
            self.jobs_run += 1
            self.machine.complete(job, now)

    def answer(self, now: float) -> None:
        """Accept or reject every peer that waits."""
        while self.questions:
            event = self.questions.popleft()
            record = self.device.peers.get(event.key_id)
            refusal = self.approve(event) if event.pairing else None
            if record is None and not event.pairing:
                refusal = NotPairedError("this device is not paired")
            if refusal is not None:
                self.server.reject(event.attempt, refusal, now)
            else:
                self.server.accept(event.attempt, record, now)

    def store(self, now: float) -> None:
        """Store every pairing that waits."""
        while self.storing:
            event = self.storing.popleft()
            self.device.store(event)
            machine = self.machine
            assert isinstance(machine, Client | ServerMachine)
            machine.pairing_stored(event.attempt, now)

    def give_counters(self, now: float, count: int | None = None) -> None:
        self.client.add_counters(self.device.reserve(count or self.counter_block), now)

    def _message(self, connection: Connection, message: ChannelEvent, now: float) -> None:
        self.inbox.append((connection, message))
        if not connection.is_open:
            return
        match message:
            case CommandReceived() if self.answers_commands:
                connection.send(SendCommand(message.channel, b"ok " + message.data, message.id), now)
            case BulkOffered():
                self.objects[message.transfer] = bytearray()
                connection.send(AcceptBulk(message.channel, message.transfer), now)
            case BulkChunkReceived():
                self.objects[message.transfer] += message.data
            case BulkReceived():
                self.finished.append(bytes(self.objects.pop(message.transfer)))
                connection.send(EndBulk(message.channel, message.transfer, incoming=True, status=BulkStatus.OK), now)
            case _:
                pass


# --- machines of devices -------------------------------------------------------------------------


def make_client(
    rc: Device,
    drone: Device,
    settings: LinkConfig,
    *,
    to: Address | None = DRONE,
    at: Address | None = RC,
    code: LinkingCode | None = None,
) -> Node:
    """A client of ``rc``: a session with ``drone``, or a pairing by ``code``. ``to`` None: over a stream."""
    entropy, keys = rc.boot()
    peer = None if code else rc.peers[drone.key_id(settings.suites[0].dh)]
    machine = Client(settings, rc.identity, peer=peer, code=code, address=to, key_source=keys, entropy=entropy)
    return Node(rc, machine, None if to is None else at)


def make_listener(drone: Device, settings: LinkConfig, *, at: Address = DRONE) -> Node:
    entropy, keys = drone.boot()
    return Node(drone, Listener(settings, drone.identity, key_source=keys, entropy=entropy), at)


def make_stream_server(drone: Device, settings: LinkConfig, now: float = START_S) -> Node:
    entropy, keys = drone.boot()
    return Node(drone, StreamServer(settings, drone.identity, key_source=keys, entropy=entropy, now=now))
