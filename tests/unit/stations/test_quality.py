"""The quality of a link, as a message."""

from dataclasses import dataclass, replace
from typing import Any, cast

import pytest
import trio
from trio.testing import MockClock

from nodes.link import Link
from nodes.stations.quality import quality_of
from nodes.testing import MemoryNetwork
from protocols.events import DownReason, LinkDown
from protocols.groundlink import GROUNDLINK
from specs.airlink.numbers import Direction
from specs.registry import ChannelId, LinkType
from tests.live.kit import linked, virtual


@dataclass
class Measured:
    """A link with counters."""

    now: Any
    down: LinkDown | None = None
    key_id: bytes = bytes(range(16))

    def stats(self) -> Any:  # LinkStats, put together
        return self.now


@pytest.fixture
def stats() -> Any:
    """Real counters of a link, to be changed."""
    return trio.run(_stats, clock=MockClock(autojump_threshold=0))


async def _stats() -> Any:
    async with linked(network=MemoryNetwork(delay_s=0.001)) as scene:
        return scene.up.stats()


def changed(stats: Any, *, lost: int = 0, received: int = 0, down: int = 0, up: int = 0) -> Any:
    stream = stats.channels.stream
    stream = replace(stream, lost=stream.lost + lost, received=stream.received + received)
    link = replace(
        stats.link,
        bytes_received=stats.link.bytes_received + down,
        bytes_sent=stats.link.bytes_sent + up,
    )
    return replace(stats, channels=replace(stats.channels, stream=stream), link=link)


def of(now: Any, before: Any, down: LinkDown | None = None, seconds: float = 2.0) -> Any:
    return quality_of(cast("Link", Measured(now, down)), LinkType.AIRLINK, before, seconds)


def test_rates_and_losses_are_those_since_then(stats: Any) -> None:
    quality = of(changed(replace(stats, rtt_s=0.0125), lost=1, received=3, down=2_000, up=1_001), stats)
    assert (quality.link, quality.peer) == (LinkType.AIRLINK, bytes(range(16)))
    assert (quality.up, quality.rtt_us, quality.lost_permille) == (True, 12_500, 250)
    assert (quality.received_bytes_s, quality.sent_bytes_s) == (1_000, 500)
    assert GROUNDLINK.decode_untrusted(ChannelId.TELEMETRY, GROUNDLINK.encode(quality), Direction.DOWN) == quality


def test_nothing_expected_is_nothing_lost(stats: Any) -> None:
    assert of(replace(stats, rtt_s=None), stats).lost_permille == 0
    assert of(replace(stats, rtt_s=None), stats).rtt_us == 0
    assert of(changed(stats, lost=-3, received=1), stats).lost_permille == 0  # late ones arrived after all


def test_what_is_beyond_the_field_is_the_most_that_it_can_say(stats: Any) -> None:
    quality = of(changed(replace(stats, rtt_s=1e9), lost=5, down=2**60), stats, seconds=0.001)
    assert quality.rtt_us == 2**32 - 1
    assert quality.lost_permille == 1_000
    assert quality.received_bytes_s == 2**32 - 1
    assert GROUNDLINK.encode(quality)


def test_a_link_that_is_down_carries_nothing(stats: Any) -> None:
    quality = of(changed(stats, down=9_999, up=9_999), stats, LinkDown(DownReason.TIMEOUT))
    assert (quality.up, quality.received_bytes_s, quality.sent_bytes_s) == (False, 0, 0)


@virtual
async def test_a_real_link() -> None:
    async with linked(network=MemoryNetwork(delay_s=0.001)) as scene:
        quality = quality_of(scene.down, LinkType.AIRLINK, scene.down.stats(), 1.0)
        assert quality.up
        assert quality.peer == scene.pair.drone_id
