"""What every machine of the link has in common: events, jobs, the pump's six calls (design, section 2).

A *machine* is what one socket needs: a :class:`~protocols.link.client.Client` (one peer, UDP or TCP), a
:class:`~protocols.link.listener.Listener` (many peers, UDP) or a :class:`~protocols.link.stream_server.StreamServer`
(one peer, TCP). The node's pump drives it with ``receive_train``, ``trains_to_send``, ``next_event``,
``next_deadline``, ``handle_deadline`` and ``complete``; who wants single packets, with ``receive`` and
``data_to_send``.
"""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Final

from protocols.errors import UsageError
from protocols.events import Event, Job, PeerConfirmed, WorkNeeded
from protocols.guards.address import Address
from protocols.link import batch
from protocols.link.batch import Lane, Lanes
from protocols.link.connection import Connection, Packet
from protocols.link.log import LinkLog
from protocols.link.schedule import Schedule
from protocols.link.session import Session
from protocols.link.stats import HandshakeCounters
from protocols.link.train import Bytes, Train, one
from specs.registry import PacketType

MachineEvent = tuple[Connection | None, Event]
"""An event, and the connection that it is about (None: the machine or a handshake)."""
_DATAGRAM_LANES: Final = 3
"""Trains in a batch: bounds how long a control message waits behind others."""
_STREAM_LANES: Final = 1
_MAX_TRAINS: Final = 64
"""Likewise, for those that need no lane."""
_MAX_REPLIES: Final = 32
"""Handshake packets among them: whoever may cause those (cookies, to anybody) must not silence links that are up."""
_MIN_RUN: Final = 3
"""Fewer datagrams are opened one by one."""


class Machine(ABC):
    """Base of the three machines."""

    def __init__(self, entropy: Callable[[int], bytes], *, datagram: bool) -> None:
        self._entropy = entropy
        self._datagram = datagram
        self._lanes = (
            Lanes(batch.DATAGRAM_LANE_BYTES, _DATAGRAM_LANES)
            if datagram
            else Lanes(batch.STREAM_LANE_BYTES, _STREAM_LANES)
        )
        self._opening: Lane | None = None
        self.has_more = False
        """Whether the last batch ended by its own limits, so that there may be more to send at once."""
        self._events: deque[MachineEvent] = deque()
        self._schedule: Schedule[Connection] = Schedule()
        self.handshakes = HandshakeCounters()
        """Counters of handshakes; ``snapshot()`` them."""
        self._log = LinkLog()

    # --- the pump's calls -----------------------------------------------------------------------

    @abstractmethod
    def receive(self, data: Bytes, now: float, address: Address | None = None) -> None:
        """Take a datagram from ``address``, or bytes of the stream; never raises for what a peer sent."""

    def receive_end(self, now: float) -> None:  # noqa: ARG002  # streams override it
        """Take the end of the stream."""
        raise UsageError("datagram carriers have no end")

    def receive_train(self, train: Train, now: float) -> None:
        """Take a train, or bytes of the stream, as ``receive`` would take its datagrams one after the other.

        Nothing of ``train.data`` is kept.
        """
        data, length, address = train
        if not self._datagram:
            self.receive(data, now)
        elif len(data) <= length:
            self.receive(data if data[0] == PacketType.DATA else bytes(data), now, address)
        elif not (train.segments >= _MIN_RUN and self._run_untrusted(train, now)):
            for at in range(0, len(data), length):
                self.receive(bytes(data[at : at + length]), now, address)

    def trains_to_send(self, now: float) -> list[Train]:
        """Return what is to be sent now, most urgent first, as far as one batch goes; nothing: there is no more.

        The same as ``data_to_send``, in trains, but for a bound on handshake packets in each batch. They are valid
        until the next call.
        """
        if not self.has_output:
            self.has_more = False
            return []
        queue = self._queue
        self._log.watch(self.handshakes, now)
        self._lanes.reset()
        trains = [one(*queue.popleft()) for _ in range(min(len(queue), _MAX_REPLIES))]
        is_all = self._collect_trains(trains, now)
        self.has_more = bool(queue) or not is_all
        return trains

    def _collect_trains(self, trains: list[Train], now: float) -> bool:
        """Add what connections have to send, each in its turn; whether that is all."""
        while self._lanes.left and len(trains) < _MAX_TRAINS:
            connection = self._schedule.next_ready()
            if connection is None:
                return True
            more = connection.next_trains(now, self._lanes)
            if more:
                trains += more
            else:
                self._quiet(connection)
        return False

    def data_to_send(self, now: float, limit: int | None = None) -> list[Packet]:
        """Return what is to be sent now, at most ``limit`` packets, most urgent first."""
        self._log.watch(self.handshakes, now)
        return list(islice(self._packets(now), limit))

    def _packets(self, now: float) -> Iterator[Packet]:
        while self._queue:
            yield self._queue.popleft()
        while (connection := self._schedule.next_ready()) is not None:
            packet = connection.next_packet(now)
            if packet is not None:
                yield packet
            else:
                self._quiet(connection)

    def take_active(self) -> list[Connection]:
        """Return the connections that something happened to since the last call: they may have messages, or room."""
        return self._schedule.take_news()

    @property
    def has_output(self) -> bool:
        """Whether there may be something to send."""
        return bool(self._queue) or self._schedule.has_output

    @property
    @abstractmethod
    def _queue(self) -> deque[Packet]:
        """What the machine itself has to send: handshakes, before all connections."""

    def _quiet(self, connection: Connection) -> None:  # noqa: B027  # most machines have nothing to forget
        """Note that a connection has nothing to send now, perhaps because it is over."""

    def _run_untrusted(self, train: Train, now: float) -> bool:
        """Take a train whose datagrams are all for one session, in order and genuine; False, and nothing changed."""
        seen = batch.counters_untrusted(train.data, train.segment_bytes)
        if seen is None or seen[0][0] != PacketType.DATA or any(seen[0][1:4]):
            return False
        found = self._session_of_index(int.from_bytes(seen[0][4:], "big"))
        if found is None:
            return False
        if self._opening is None:
            self._opening = Lane(batch.DATAGRAM_LANE_BYTES)
        return found[0].train_untrusted(found[1], train, seen[1], self._opening, now)

    def _session_of_index(self, index: int) -> tuple[Connection, Session] | None:  # noqa: ARG002
        """Return the connection that receives under an index, and its session; None: one by one will tell."""
        return None

    @abstractmethod
    def connections(self) -> Iterable[Connection]:
        """Return every association, those that just went down included."""

    def next_event(self) -> MachineEvent | None:
        """Return the next event of the machine, or None. Messages wait in their connection (``next_message``)."""
        return self._events.popleft() if self._events else None

    @abstractmethod
    def next_deadline(self) -> float | None:
        """Return when ``handle_deadline`` is due."""

    @property
    def deadline_moved(self) -> bool:
        """Whether ``next_deadline`` may be earlier than it was when it was last asked for."""
        return True

    @abstractmethod
    def handle_deadline(self, now: float) -> None:
        """Do what time asks for; harmless when called early."""

    @abstractmethod
    def complete(self, job: Job, now: float) -> None:
        """Take the outcome of a job; a late one is discarded."""

    @property
    @abstractmethod
    def is_over(self) -> bool:
        """Whether this machine will never do anything again."""

    # --- for subclasses -------------------------------------------------------------------------

    def _emit(self, event: Event) -> None:
        self._log.event(event)
        self._events.append((None, event))

    def _emit_for(self, connection: Connection, event: Event) -> None:
        self._log.event(event, connection.key_id)
        self._events.append((connection, event))

    def _post(self, work: Iterable[WorkNeeded]) -> None:
        for each in work:
            self._emit(each)

    def _confirmed(self, connection: Connection, counter: int, pair_id: bytes) -> None:
        self._emit_for(connection, PeerConfirmed(connection.key_id, counter, pair_id))

    def _random_index(self, taken: Callable[[int], bool]) -> int:
        while True:
            index = int.from_bytes(self._entropy(4), "big")
            if index and not taken(index):
                return index


def earliest(*deadlines: float | None) -> float | None:
    """Return the earliest of several deadlines; None when there is none."""
    present = [deadline for deadline in deadlines if deadline is not None]
    return min(present) if present else None
