"""A network in memory (port ``Network``): nodes without sockets, on any clock, over a path as bad as a test needs.

::

    network = MemoryNetwork(seed=7, loss=0.1, delay_s=0.02)
    async with Drone(stores, network=network) as drone, RemoteController(others, network=network) as rc:
        where = await drone.listen(Endpoint("drone", 1))

Hosts are names; nothing must be set up for them. Time is trio's, so that ``trio.testing.MockClock`` makes hours pass at
once. What goes wrong is decided by ``seed``, but the order in which tasks run is not: never rely on it.
"""

import heapq
import random
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Final

import trio

from nodes.config.endpoint import Endpoint
from nodes.ports import Carrier, Interrupted
from nodes.wakeup import Wakeup
from protocols.errors import ConfigError
from protocols.guards.address import Address, local_address
from protocols.link.train import Bytes, Train, one

_FIRST_PORT: Final = 49_152
STREAM_WINDOW_BYTES: Final = 262_144
"""What one direction of a stream holds before its sender waits."""


@dataclass(frozen=True, slots=True)
class Datagram:
    """One datagram on its way."""

    data: bytes
    """What travels."""
    source: Endpoint
    """Where it says that it comes from."""
    destination: Endpoint
    """Where it goes."""


Tap = Callable[[Datagram], Iterable[Datagram]]
"""Sees a datagram, and returns what goes on instead of it: nothing, itself, another one, several."""


class MemoryNetwork:
    """Datagrams and streams between named hosts."""

    def __init__(
        self,
        *,
        seed: int = 0,
        loss: float = 0.0,
        duplicate: float = 0.0,
        delay_s: float = 0.0,
        jitter_s: float = 0.0,
        stream_window_bytes: int = STREAM_WINDOW_BYTES,
    ) -> None:
        """``loss`` and ``duplicate`` are probabilities; ``jitter_s`` is added to ``delay_s`` evenly, and reorders."""
        self.loss = loss
        self.duplicate = duplicate
        self.delay_s = delay_s
        self.jitter_s = jitter_s
        self.tap: Tap | None = None
        """Called for each datagram that a node sends, before luck has its turn."""
        self.lost = 0
        """Datagrams that luck took, or that nobody waited for."""
        self._random = random.Random(seed)  # noqa: S311  # a bad path, not a secret
        self._window = stream_window_bytes
        self._numbers = count()
        self._ports = count(_FIRST_PORT)
        self._datagrams: dict[Endpoint, MemoryDatagrams] = {}
        self._listeners: dict[Endpoint, MemoryListener] = {}

    # --- port Network ---------------------------------------------------------------------------

    async def datagrams(self, endpoint: Endpoint) -> tuple["MemoryDatagrams", Endpoint]:
        """Take a datagram port; ConfigError when it is taken."""
        await trio.lowlevel.checkpoint()
        where = self._free(endpoint, self._datagrams)
        carrier = self._datagrams[where] = MemoryDatagrams(self, where)
        return carrier, where

    async def datagrams_towards(self, endpoint: Endpoint) -> tuple["MemoryDatagrams", Address]:
        """Take any datagram port of the host ``client``."""
        carrier, _ = await self.datagrams(Endpoint("client", 0))
        return carrier, local_address(endpoint.host, endpoint.port)

    async def streams(self, endpoint: Endpoint) -> "MemoryListener":
        """Listen for streams; ConfigError when the port is taken."""
        await trio.lowlevel.checkpoint()
        where = self._free(endpoint, self._listeners)
        listener = self._listeners[where] = MemoryListener(where, self._listeners)
        return listener

    async def stream_towards(self, endpoint: Endpoint) -> "MemoryStream":
        """Open a stream from the host ``client``; ConfigError when nobody listens there."""
        await trio.lowlevel.checkpoint()
        listener = self._listeners.get(endpoint)
        if listener is None:
            raise ConfigError(f"{endpoint}: nobody listens there")
        ours, theirs = stream_pair(self._window)
        listener.offer(theirs, local_address("client", next(self._ports)))
        return ours

    def _free(self, endpoint: Endpoint, taken: Iterable[Endpoint]) -> Endpoint:
        where = endpoint if endpoint.port else Endpoint(endpoint.host, next(self._ports))
        if where in taken:
            raise ConfigError(f"{where}: the port is in use by another program")
        return where

    # --- datagrams ------------------------------------------------------------------------------

    def send(self, datagram: Datagram) -> None:
        """Let a datagram travel: through the tap, then at the mercy of luck."""
        for each in (datagram,) if self.tap is None else self.tap(datagram):
            if self._random.random() < self.loss:
                self.lost += 1
                continue
            copies = 2 if self._random.random() < self.duplicate else 1
            for _ in range(copies):
                self.inject(each, self.delay_s + self._random.random() * self.jitter_s)

    def inject(self, datagram: Datagram, delay_s: float = 0.0) -> None:
        """Deliver a datagram for certain, as an attacker next to the receiver can."""
        receiver = self._datagrams.get(datagram.destination)
        if receiver is None:
            self.lost += 1
            return
        receiver.deliver(trio.current_time() + delay_s, next(self._numbers), datagram)

    def forget(self, endpoint: Endpoint) -> None:
        """Give a datagram port back."""
        self._datagrams.pop(endpoint, None)


class MemoryDatagrams:
    """A datagram port (port ``Carrier``)."""

    datagram = True

    def __init__(self, network: MemoryNetwork, endpoint: Endpoint) -> None:
        self.endpoint: Final = endpoint
        """Where it is."""
        self._network = network
        self._arriving: list[tuple[float, int, Datagram]] = []
        self._wakeup = Wakeup()
        self._closed = False
        self._interrupted = False

    def deliver(self, at_s: float, number: int, datagram: Datagram) -> None:
        """Make a datagram arrive at a time; ``number`` keeps the order of those of one moment."""
        heapq.heappush(self._arriving, (at_s, number, datagram))
        self._wakeup.set()

    async def receive(self) -> Sequence[Train]:
        """Return the datagrams that have arrived, at least one."""
        self._interrupted = False
        await trio.lowlevel.checkpoint()
        while not self._closed:
            batch: list[Train] = []
            while self._arriving and self._arriving[0][0] <= trio.current_time():
                _, _, datagram = heapq.heappop(self._arriving)
                if datagram.data:
                    batch.append(one(datagram.data, local_address(datagram.source.host, datagram.source.port)))
            if batch:
                return batch
            if self._interrupted:
                raise Interrupted
            with trio.move_on_at(self._arriving[0][0] if self._arriving else float("inf")):
                await self._wakeup.wait()
        raise trio.ClosedResourceError

    def send_now(self, trains: Sequence[Train]) -> Sequence[Train]:
        """Send datagrams; there is always room."""
        for data, segment_bytes, address in trains:
            if address is not None and not self._closed:
                there = Endpoint(address.host.decode(), address.port)
                for start in range(0, len(data), segment_bytes):
                    self._network.send(Datagram(bytes(data[start : start + segment_bytes]), self.endpoint, there))
        return ()

    async def send(self, trains: Sequence[Train]) -> None:
        """Send datagrams."""
        await trio.lowlevel.checkpoint()
        if self._closed:
            raise trio.ClosedResourceError
        self.send_now(trains)

    def interrupt(self) -> None:
        """End a pending ``receive`` with Interrupted."""
        self._interrupted = True
        self._wakeup.set()

    async def aclose(self) -> None:
        """Give the port back."""
        self._closed = True
        self._network.forget(self.endpoint)
        self._wakeup.set()
        await trio.lowlevel.checkpoint()


class _Pipe:
    """One direction of a stream."""

    def __init__(self, window_bytes: int) -> None:
        self._window = window_bytes
        self._parts: deque[bytes] = deque()
        self._bytes = 0
        self._readable, self._writable = Wakeup(), Wakeup()
        self.ended = False
        """No more will come."""
        self.broken = False
        """Nobody reads any more."""
        self._interrupted = False

    def send_now(self, data: Bytes) -> Bytes:
        """Take what there is room for, and return the rest; one that is over takes everything."""
        if self.broken or self.ended:
            return b""
        room = self._window - self._bytes
        if room > 0 and data:
            self._parts.append(bytes(data[:room]))
            self._bytes += len(self._parts[-1])
            self._readable.set()
        return memoryview(data)[max(room, 0) :]

    async def wait_for_room(self) -> None:
        """Wait until the reader has taken something, or will never."""
        while self._bytes >= self._window and not self.broken and not self.ended:
            await self._writable.wait()

    async def receive(self) -> bytes:
        self._interrupted = False
        await trio.lowlevel.checkpoint()
        while not self._parts and not self.ended and not self.broken:
            if self._interrupted:
                raise Interrupted
            await self._readable.wait()
        data = b"".join(self._parts)
        self._parts.clear()
        self._bytes = 0
        self._writable.set()
        return data

    def interrupt(self) -> None:
        """End a pending ``receive`` with Interrupted."""
        self._interrupted = True
        self._readable.set()

    def finish(self, *, broken: bool) -> None:
        """End it from the sender's side, or break it from the reader's."""
        self.ended, self.broken = self.ended or not broken, self.broken or broken
        self._readable.set()
        self._writable.set()


class MemoryStream:
    """One end of a stream (port ``Carrier``)."""

    datagram = False

    def __init__(self, incoming: _Pipe, outgoing: _Pipe) -> None:
        self._incoming, self._outgoing = incoming, outgoing

    async def receive(self) -> Sequence[Train]:
        """Return what has arrived; nothing at the end of the stream."""
        data = await self._incoming.receive()
        if self._incoming.broken:
            raise trio.ClosedResourceError
        return (one(data, None),) if data else ()

    def send_now(self, trains: Sequence[Train]) -> Sequence[Train]:
        """Send what the window of the other end has room for."""
        for number, (data, _, _) in enumerate(trains):
            if rest := self._outgoing.send_now(data):
                return (one(rest, None), *trains[number + 1 :])
        return ()

    async def send(self, trains: Sequence[Train]) -> None:
        """Send; waits while the other end does not read."""
        await trio.lowlevel.checkpoint()
        while not self._outgoing.ended:
            trains = self.send_now(trains)
            if not trains:
                return
            await self._outgoing.wait_for_room()
        raise trio.ClosedResourceError

    def interrupt(self) -> None:
        """End a pending ``receive`` with Interrupted."""
        self._incoming.interrupt()

    async def aclose(self) -> None:
        """Close both directions."""
        self._outgoing.finish(broken=False)
        self._incoming.finish(broken=True)
        await trio.lowlevel.checkpoint()


def stream_pair(window_bytes: int = STREAM_WINDOW_BYTES) -> tuple[MemoryStream, MemoryStream]:
    """Return the two ends of a stream."""
    there, back = _Pipe(window_bytes), _Pipe(window_bytes)
    return MemoryStream(back, there), MemoryStream(there, back)


class MemoryListener:
    """A place where streams arrive (port ``StreamListener``)."""

    def __init__(self, endpoint: Endpoint, places: dict[Endpoint, "MemoryListener"]) -> None:
        self._endpoint = endpoint
        self._places = places
        self._waiting: deque[tuple[MemoryStream, Address]] = deque()
        self._wakeup = Wakeup()

    @property
    def endpoint(self) -> Endpoint:
        """Where it is."""
        return self._endpoint

    def offer(self, stream: MemoryStream, source: Address) -> None:
        """Let a stream arrive."""
        self._waiting.append((stream, source))
        self._wakeup.set()

    async def accept(self) -> tuple[Carrier, Address]:
        """Return the next stream, and whom it comes from."""
        await trio.lowlevel.checkpoint()
        while not self._waiting:
            await self._wakeup.wait()
        return self._waiting.popleft()

    async def aclose(self) -> None:
        """Take no more; streams that nobody took end."""
        self._places.pop(self._endpoint, None)
        while self._waiting:
            stream, _ = self._waiting.popleft()
            await stream.aclose()
        await trio.lowlevel.checkpoint()
