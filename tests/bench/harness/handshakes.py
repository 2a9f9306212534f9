"""Handshakes of ours: at the level of Noise, both ends; and of a whole link over loopback TCP."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from time import perf_counter

from protocols.crypto.agreements import StaticAgreements
from protocols.crypto.keys import StaticKey, SystemKeySource
from protocols.crypto.suites import Suite
from protocols.link.config import LinkConfig
from protocols.link.handshake import noise_protocol
from protocols.noise import HandshakeState
from specs.registry import HandshakeKind
from tests.bench.harness.model import Measure, Reading, Side
from tests.bench.harness.ours import LOOPBACK, OPEN, PAIR_SECRET, paired
from tests.bench.harness.repeat import repeat


def noise_handshakes(suite: Suite) -> Side:
    """``IKpsk2`` or ``IKhfs+psk2``, as links of two nodes that know each other run it.

    The key objects and the parsed name are there, and so is what the static keys agree on, after the first time.
    """

    def prepare() -> Callable[[], object]:
        pair = NoisePair(suite)

        def step() -> object:
            first, second = pair.states()
            pair.read_first(second, pair.write_first(first))
            first.read_message(second.write_message())
            return first.split(), second.split()

        return step

    return repeat(prepare)


class NoisePair:
    """Two devices that know each other, and make one handshake after the other."""

    def __init__(self, suite: Suite) -> None:
        self._protocol = noise_protocol(suite, HandshakeKind.SESSION)
        self._source = SystemKeySource()
        self._mine, self._theirs = self._source.dh_key(suite.dh), self._source.dh_key(suite.dh)
        self._known = StaticAgreements(), StaticAgreements()

    def states(self) -> tuple[HandshakeState, HandshakeState]:
        """Initiator and responder of a new handshake."""
        protocol, source, psks = self._protocol, self._source, {2: PAIR_SECRET}
        mine, theirs, (ours, others) = self._mine, self._theirs, self._known
        return (
            HandshakeState(
                protocol, initiator=True, key_source=source, s=mine, rs=theirs.public, psks=psks, agreements=ours
            ),
            HandshakeState(protocol, initiator=False, key_source=source, s=theirs, psks=psks, agreements=others),
        )

    def write_first(self, state: HandshakeState) -> bytes:
        message = state.write_message()
        _keep(self._known[0], state, self._mine)
        return message

    def read_first(self, state: HandshakeState, message: bytes) -> None:
        state.read_message(message)
        _keep(self._known[1], state, self._theirs)


def _keep(agreements: StaticAgreements, state: HandshakeState, own: StaticKey) -> None:
    """As a link does once its node knows the peer."""
    secret, peer = state.static_agreement, state.remote_static
    if secret is not None and peer is not None:
        agreements.keep(own.public, peer, secret, key_id=peer[:16], mark=agreements.mark)


def link_handshakes(suite: Suite, base: LinkConfig = OPEN) -> Side:
    """``connect`` over TCP until both ends have the link."""

    @asynccontextmanager
    async def side() -> AsyncGenerator[Measure]:
        async with paired(replace(base, suites=(suite,))) as nodes:
            where = await nodes.drone.listen(LOOPBACK, "tcp")

            async def make() -> Unmake:
                link = await nodes.rc.connect(nodes.drone_id, where, "tcp")
                other = await nodes.drone.next_link()

                async def unmake() -> None:
                    await link.close()
                    await other.wait_down()

                return unmake

            yield made_per_second(make)

    return side


Unmake = Callable[[], Awaitable[None]]
Shake = Callable[[], Awaitable[Unmake]]


def shaken_per_second(connect: Callable[[], Awaitable[Shake]]) -> Measure:
    """How many handshakes are made in a second, one after the other; connections and their ends are not counted."""

    async def measure(seconds: float) -> Reading:
        times: list[float] = []
        end = perf_counter() + seconds
        while perf_counter() < end or not times:
            shake = await connect()
            start = perf_counter()
            unmake = await shake()
            times.append(perf_counter() - start)
            await unmake()
        return Reading(len(times) / sum(times))

    return measure


def made_per_second(make: Callable[[], Awaitable[Unmake]]) -> Measure:
    """How many connections are made in a second, one after the other; their ends are waited for, and not counted."""

    async def measure(seconds: float) -> Reading:
        times: list[float] = []
        end = perf_counter() + seconds
        while (start := perf_counter()) < end or not times:
            unmake = await make()
            times.append(perf_counter() - start)
            await unmake()
        return Reading(len(times) / sum(times))

    return measure
