"""What every machine of the link has in common: events, jobs, the pump's six calls (design, section 2).

A *machine* is what one socket needs: a :class:`~protocols.link.client.Client` (one peer, UDP or TCP), a
:class:`~protocols.link.listener.Listener` (many peers, UDP) or a :class:`~protocols.link.stream_server.StreamServer`
(one peer, TCP). The node's pump drives it with ``receive``, ``data_to_send``, ``next_event``, ``next_deadline``,
``handle_deadline`` and ``complete``, and knows nothing else of it.
"""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice

from protocols.errors import UsageError
from protocols.events import Event, Job, PeerConfirmed, WorkNeeded
from protocols.guards.address import Address
from protocols.link.connection import Connection, Packet
from protocols.link.log import LinkLog
from protocols.link.stats import HandshakeCounters

MachineEvent = tuple[Connection | None, Event]
"""An event, and the connection that it is about (None: the machine or a handshake)."""


class Machine(ABC):
    """Base of the three machines."""

    def __init__(self, entropy: Callable[[int], bytes]) -> None:
        self._entropy = entropy
        self._events: deque[MachineEvent] = deque()
        self.handshakes = HandshakeCounters()
        """Counters of handshakes; ``snapshot()`` them."""
        self._log = LinkLog()

    # --- the pump's calls -----------------------------------------------------------------------

    @abstractmethod
    def receive(self, data: bytes, now: float, address: Address | None = None) -> None:
        """Take a datagram from ``address``, or bytes of the stream; never raises for what a peer sent."""

    def receive_end(self, now: float) -> None:  # noqa: ARG002  # streams override it
        """Take the end of the stream."""
        raise UsageError("datagram carriers have no end")

    def data_to_send(self, now: float, limit: int | None = None) -> list[Packet]:
        """Return what is to be sent now, at most ``limit`` packets, most urgent first."""
        self._log.watch(self.handshakes, now)
        return list(islice(self._packets(now), limit))

    @abstractmethod
    def _packets(self, now: float) -> Iterator[Packet]: ...

    @abstractmethod
    def connections(self) -> Iterable[Connection]:
        """Return every association, those that just went down included."""

    def next_event(self) -> MachineEvent | None:
        """Return the next event of the machine, or None. Messages wait in their connection (``next_message``)."""
        return self._events.popleft() if self._events else None

    @abstractmethod
    def next_deadline(self) -> float | None:
        """Return when ``handle_deadline`` is due."""

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


def packets_of(queue: deque[Packet], connections: Iterable[Connection], now: float) -> Iterator[Packet]:
    """Yield what waits in a machine's own queue, then what each connection has to send."""
    while queue:
        yield queue.popleft()
    for connection in connections:
        while (packet := connection.next_packet(now)) is not None:
            yield packet


def earliest(*deadlines: float | None) -> float | None:
    """Return the earliest of several deadlines; None when there is none."""
    present = [deadline for deadline in deadlines if deadline is not None]
    return min(present) if present else None
