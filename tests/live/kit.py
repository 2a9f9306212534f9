"""Nodes for tests: stores, pairs that know each other without a handshake, and what a test waits for."""

from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial, wraps
from pathlib import Path
from typing import Any, ParamSpec

import trio
import trio.testing

from nodes import Drone, Endpoint, Link, LinkClosedError, RemoteController, StateDir, Stores
from nodes.ports import CarrierName, Network
from nodes.stores.memory import MemoryCounterStore, MemoryKeyStore, MemoryPeerDirectory
from protocols.crypto.dh import SoftwareKey
from protocols.crypto.fingerprint import key_id_of
from protocols.crypto.keys import SystemKeySource
from protocols.crypto.suites import SUITES, Suite
from protocols.events import CommandReceived, SendCommand
from protocols.link.config import LinkConfig
from protocols.link.peers import PeerRecord, PeerState
from specs.registry import Role

P = ParamSpec("P")
CARRIERS: tuple[CarrierName, ...] = ("udp", "tcp")
LOOPBACK = Endpoint("127.0.0.1", 0)
CLASSICAL = SUITES[3]
"""Fast, and shares its key with the default suite."""
QUICK = LinkConfig(handshake_retry_s=(0.1, 0.1, 0.2), finish_retry_s=(0.1, 0.1, 0.2))
"""Gives up soon."""
PATIENT = LinkConfig(handshake_retry_s=(1.0,) * 20)
DEADLINE_S = 20.0
"""For ``trio.fail_after``: far more than anything here takes."""


def make_key(dh: str = "P256") -> SoftwareKey:
    return SystemKeySource().dh_key(dh)


def stores_of(*keys: SoftwareKey, peers: tuple[PeerRecord, ...] = ()) -> Stores:
    return Stores(MemoryKeyStore(keys or (make_key(),)), MemoryPeerDirectory(peers), MemoryCounterStore())


def record_of(
    key: SoftwareKey, role: Role, secret: bytes = bytes(range(32)), state: PeerState = PeerState.PAIRED
) -> PeerRecord:
    return PeerRecord(key_id_of(key.dh, key.public), key.public, key.dh, role, secret, state, 0)


@dataclass
class Pair:
    """The stores of two devices that are paired."""

    drone: Stores
    rc: Stores
    drone_key: SoftwareKey
    rc_key: SoftwareKey

    @property
    def drone_id(self) -> bytes:
        return key_id_of(self.drone_key.dh, self.drone_key.public)

    @property
    def rc_id(self) -> bytes:
        return key_id_of(self.rc_key.dh, self.rc_key.public)


async def paired(dh: str = "P256") -> Pair:
    drone, rc = make_key(dh), make_key(dh)
    pair = Pair(
        stores_of(drone, peers=(record_of(rc, Role.RC),)),
        stores_of(rc, peers=(record_of(drone, Role.DRONE),)),
        drone,
        rc,
    )
    await pair.rc.counters.reserve(dh, 1, create=True)  # as a pairing does
    return pair


def config_of(suite: Suite, base: LinkConfig = PATIENT) -> LinkConfig:
    return replace(base, suites=(suite,))


@dataclass
class Scene:
    """Two nodes with a link."""

    drone: Drone
    rc: RemoteController
    where: Endpoint
    pair: Pair
    up: Link
    """The drone's end."""
    down: Link
    """The remote controller's end."""


@asynccontextmanager
async def linked(
    carrier: CarrierName = "udp", *, config: LinkConfig | None = None, network: Network | None = None
) -> AsyncGenerator[Scene]:
    """A drone and a remote controller, paired before, with a link."""
    config = config or config_of(CLASSICAL)
    pair = await paired(config.suites[0].dh)
    async with (
        Drone(pair.drone, config, network=network) as drone,
        RemoteController(pair.rc, config, network=network) as rc,
    ):
        where = await drone.listen(LOOPBACK, carrier)
        down = await rc.connect(pair.drone_id, where, carrier)
        yield Scene(drone, rc, where, pair, await drone.next_link(), down)


def virtual(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run a test on a clock that jumps to the next deadline whenever everybody waits."""

    @wraps(test)
    def run(*args: P.args, **options: P.kwargs) -> None:
        trio.run(partial(test, *args, **options), clock=trio.testing.MockClock(autojump_threshold=0))

    return run


async def echo(link: Link) -> None:
    """Answer every request with itself."""
    async for message in link:
        if isinstance(message, CommandReceived):
            with suppress(LinkClosedError):
                await link.send(SendCommand(message.channel, message.data, reply_to=message.id))


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that has no event of its own."""
    while not condition():  # noqa: ASYNC110
        await trio.sleep(0.005)


def state_with_key(path: Path, dh: str = "P256") -> StateDir:
    """Open a state folder with a key, made if need be."""
    state = StateDir.open(path, create=True)
    if not state.key_files.exists(dh):
        state.key_files.generate(dh)
    return state


def stores_in(state: StateDir) -> Stores:
    return Stores(state.keys, state.peers, state.counters)


def one_line(error: BaseException) -> str:
    """The text of an error, which is one line that a person can read."""
    text = str(error)
    assert text.isprintable(), repr(text)
    assert 10 <= len(text) <= 300, repr(text)
    return text
