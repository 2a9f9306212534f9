"""Handshakes on trio streams: of Noise alone, and of the machines of a link without the nodes around them."""

import os
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from itertools import count

import trio

from protocols.crypto.keys import SoftwareKey, SystemKeySource
from protocols.crypto.suites import Suite
from protocols.errors import NotPairedError
from protocols.events import CountersNeeded, LinkUp, PeerConfirmed, PeerIdentified, WorkNeeded
from protocols.link.client import Client
from protocols.link.config import Identity, LinkConfig
from protocols.link.peers import CounterBlock, PeerRecord
from protocols.link.stream_server import StreamServer
from specs.registry import Role
from tests.bench.harness.handshakes import NoisePair, Shake, Unmake, shaken_per_second
from tests.bench.harness.model import Measure, Side
from tests.bench.harness.ours import OPEN, make_key, record_of

_COUNTERS = 1_000


@dataclass
class _Device:
    """What lives longer than a connection."""

    identity: Identity
    peers: dict[bytes, PeerRecord]
    blocks: "count[int]" = field(default_factory=lambda: count(1, _COUNTERS))


class _End:
    """One machine on one stream."""

    def __init__(self, device: _Device, machine: Client | StreamServer, stream: trio.SocketStream) -> None:
        self._device, self._machine, self._stream = device, machine, stream
        self._up = False
        self._confirmed = False

    async def shake(self) -> None:
        """Drive the machine until the link is up and its peer has proven itself."""
        machine = self._machine
        if isinstance(machine, Client):
            machine.start(trio.current_time())
        while True:
            self._answer()
            packets = machine.data_to_send(trio.current_time())
            if packets:
                await self._stream.send_all(b"".join(data for data, _ in packets))
            if self._up and self._confirmed:
                return
            data = await self._stream.receive_some()
            if not data:
                raise RuntimeError("the other end gave up")
            machine.receive(data, trio.current_time())

    def _answer(self) -> None:
        machine, now = self._machine, trio.current_time()
        while (item := machine.next_event()) is not None:
            match item[1]:
                case WorkNeeded(job):
                    job.run()
                    machine.complete(job, now)
                case CountersNeeded():
                    assert isinstance(machine, Client)
                    machine.add_counters(CounterBlock(next(self._device.blocks), _COUNTERS, bytes(16)), now)
                case PeerIdentified() as peer:
                    assert isinstance(machine, StreamServer)
                    record = self._device.peers.get(peer.key_id)
                    if record is None:
                        machine.reject(peer.attempt, NotPairedError("unknown"), now)
                    else:
                        machine.accept(peer.attempt, record, now)
                case LinkUp():
                    self._up = True
                case PeerConfirmed() as proof:
                    self._confirmed = True
                    if proof.counter and proof.key_id in self._device.peers:
                        known = self._device.peers[proof.key_id]
                        self._device.peers[proof.key_id] = replace(known, initiation_counter=proof.counter)
                case _:
                    pass


def machine_handshakes(suite: Suite, base: LinkConfig = OPEN) -> Side:
    """A whole link handshake on a TCP connection, until each end has had the proof of the other."""

    @asynccontextmanager
    async def side() -> AsyncGenerator[Measure]:
        config = replace(base, suites=(suite,))
        source = SystemKeySource()
        drone_key, rc_key = make_key(suite.dh), make_key(suite.dh)
        drone, rc = _device(Role.DRONE, drone_key, Role.RC, rc_key), _device(Role.RC, rc_key, Role.DRONE, drone_key)
        (drone_record,) = rc.peers.values()

        async def shake(there: trio.SocketStream, here: trio.SocketStream) -> None:
            client = Client(config, rc.identity, peer=drone_record, key_source=source, entropy=os.urandom)
            now = trio.current_time()
            server = StreamServer(config, drone.identity, key_source=source, entropy=os.urandom, now=now)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_End(rc, client, there).shake)
                nursery.start_soon(_End(drone, server, here).shake)

        async with _on_connections(shake) as measure:
            yield measure

    return side


def noise_over_streams(suite: Suite) -> Side:
    """Both messages of ``IKhfs+psk2`` over a TCP connection, until both ends have their keys: what TLS is asked for."""

    @asynccontextmanager
    async def side() -> AsyncGenerator[Measure]:
        pair = NoisePair(suite)

        async def shake(there: trio.SocketStream, here: trio.SocketStream) -> None:
            first, second = pair.states()

            await there.send_all(pair.write_first(first))
            pair.read_first(second, bytes(await here.receive_some()))
            await here.send_all(second.write_message())
            first.read_message(bytes(await there.receive_some()))
            for end in (first, second):
                end.split()

        async with _on_connections(shake) as measure:
            yield measure

    return side


@asynccontextmanager
async def _on_connections(
    shake: Callable[[trio.SocketStream, trio.SocketStream], Awaitable[None]],
) -> AsyncGenerator[Measure]:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listener.socket.getsockname()[1]

    async def connect() -> Shake:
        there, here = await trio.open_tcp_stream("127.0.0.1", port), await listener.accept()

        async def shaken() -> Unmake:
            await shake(there, here)

            async def unmake() -> None:
                await there.aclose()
                await here.aclose()

            return unmake

        return shaken

    async with listener:
        yield shaken_per_second(connect)


def _device(role: Role, key: SoftwareKey, peer_role: Role, peer: SoftwareKey) -> _Device:
    record = record_of(peer.public, peer_role, peer.dh)
    return _Device(Identity(role, {key.dh: key}), {record.key_id: record})
