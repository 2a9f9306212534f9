"""UDP over a cable between namespaces: what a device's MTU does to trains."""

import sys

import pytest
import trio

from nodes.carriers import Offload, UdpCarrier
from nodes.config.endpoint import Endpoint
from protocols.guards.address import Address, ip_address
from protocols.link.train import Train, one
from tests.helpers.netns import HOSTS, HOSTS_6, Inside, cable, set_mtu
from tests.live.carriers import ALL, datagrams_of, gather, pattern
from tests.live.kit import DEADLINE_S

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="namespaces")
TRAIN = 40


async def _until_up(sender: UdpCarrier, receiver: UdpCarrier, to: Address) -> None:
    """A new cable takes its time, and drops what comes before."""
    sent = 0
    while True:
        sent += 1
        await sender.send([one(sent.to_bytes(2, "big"), to)])
        with trio.move_on_after(0.05):
            while datagrams_of(await receiver.receive())[-1][1] != sent.to_bytes(2, "big"):
                pass
            return


@pytest.mark.parametrize(("hosts", "size"), [(HOSTS, 1_472), (HOSTS_6, 1_452)], ids=["IPv4", "IPv6"])
@pytest.mark.parametrize("receives", [Offload.NONE, Offload.AUTO], ids=str)
@pytest.mark.parametrize("sends", ALL, ids=str)
async def test_trains_over_a_cable(sends: Offload, receives: Offload, hosts: tuple[str, str], size: int) -> None:
    """The largest that fits arrives; one byte more is lost and counted, and takes nothing else with it."""
    with cable(1_500) as ends, trio.fail_after(DEADLINE_S):
        sender, _ = await Inside(ends[0], sends).datagrams(Endpoint(hosts[0], 0))
        receiver, where = await Inside(ends[1], receives).datagrams(Endpoint(hosts[1], 0))
        to = ip_address(where.host, where.port)
        await _until_up(sender, receiver, to)
        had = sender.offload
        fits = Train(pattern(TRAIN * size - 5), size, to)
        large = Train(pattern(TRAIN * (size + 1)), size + 1, to)
        await sender.send([fits, large, fits])
        wanted = [data for _, data in datagrams_of([fits, fits])]
        assert [data for _, data in await gather(receiver, 2 * TRAIN)] == wanted
        assert sender.lost == TRAIN
        assert sender.offload is had
        set_mtu(ends, 1_280)  # without the kernel's word for it, and back again
        await sender.send([fits])
        assert sender.lost == 2 * TRAIN
        set_mtu(ends, 1_500)
        await _until_up(sender, receiver, to)
        await sender.send([fits])
        assert [data for _, data in await gather(receiver, TRAIN)] == [data for _, data in datagrams_of([fits])]
        assert sender.lost == 2 * TRAIN
        await sender.aclose()
        await receiver.aclose()
