"""What a station tells of its way to the cloud: to neighbours, and to whoever watches."""

import pytest
import trio

from protocols.errors import ConfigError
from specs.groundlink import LinkQuality
from specs.registry import LinkType
from tests.live.chainkit import Branch, chain
from tests.live.chainparts import CLOUD_AUTHORITY, Wire
from tests.live.kit import until, virtual


def qualities(branch: Branch) -> list[LinkQuality]:
    """What the remote controller has heard of its mobile's cloud."""
    found = [message for message in branch.rc_saw if isinstance(message, LinkQuality)]
    return [message for message in found if message.link is LinkType.REMOTE_CLOUD]


@virtual
async def test_a_mobile_tells_its_remote_controller_whether_it_has_the_cloud(monkeypatch: pytest.MonkeyPatch) -> None:
    with trio.fail_after(600):
        async with chain() as scene:
            first = scene.first
            await until(lambda: qualities(first)[-1:] != [] and qualities(first)[-1].up)
            told = qualities(first)[-1]
            assert (told.peer, told.rtt_us, told.lost_permille) == (CLOUD_AUTHORITY, 0, 0)
            before = len(qualities(first))
            await trio.sleep(10.0)
            assert len(qualities(first)) - before >= 5  # every two seconds at least
            assert not [message for message in first.mobile_saw if message in qualities(first)]

            async def nobody(*_: object, **__: object) -> None:
                await trio.lowlevel.checkpoint()
                raise ConfigError("nobody is there")

            monkeypatch.setattr(Wire, "request", nobody)
            await until(lambda: not qualities(first)[-1].up)
            assert (qualities(first)[-1].received_bytes_s, qualities(first)[-1].peer) == (0, CLOUD_AUTHORITY)
