"""Several linking codes for devices of one role: one is good at a time (PR-5)."""

import pytest
import trio

from nodes import Drone, RemoteController
from nodes.ports import CarrierName
from nodes.testing import MemoryNetwork
from nodes.working import Errands
from nodes.working.errands import show_codes
from protocols.errors import LinkTimeoutError
from protocols.pairing import LinkingCode
from specs.registry import CODE_LIFETIME_S, LinkType, Role
from tests.live.kit import CLASSICAL, LOOPBACK, config_of, make_key, stores_of, until, virtual

CONFIG = config_of(CLASSICAL)
on_both_carriers = pytest.mark.parametrize("carrier", ["udp", "tcp"])


@on_both_carriers
@virtual
async def test_pr_5_a_newer_code_ends_the_one_before(carrier: CarrierName) -> None:
    network = MemoryNetwork()
    async with (
        Drone(stores_of(make_key()), CONFIG, network=network) as drone,
        RemoteController(stores_of(make_key()), CONFIG, network=network) as rc,
    ):
        where = await drone.listen(LOOPBACK, carrier)
        older, newer = drone.open_pairing(), drone.open_pairing()
        other = drone.open_pairing(LinkType.REMOTE_MOBILE)
        with pytest.raises(LinkTimeoutError):
            await rc.pair(older, where, carrier)
        assert (await rc.pair(newer, where, carrier)).key_id == drone.key_id()
        assert other != newer
        assert drone.is_pairing  # the codes of other link types stay


@on_both_carriers
@virtual
async def test_pr_5_the_next_code_is_shown_when_the_one_before_was_used(carrier: CarrierName) -> None:
    network = MemoryNetwork()
    codes: list[tuple[Role, LinkingCode]] = []
    told: list[str] = []
    errands = Errands((Role.RC, Role.MOBILE, Role.RC), on_code=lambda peer, code, _own: codes.append((peer, code)))
    async with (
        Drone(stores_of(make_key()), CONFIG, network=network) as drone,
        RemoteController(stores_of(make_key()), CONFIG, network=network) as one,
        RemoteController(stores_of(make_key()), CONFIG, network=network) as other,
        trio.open_nursery() as nursery,
    ):
        where = await drone.listen(LOOPBACK, carrier)
        show_codes(errands, drone, told.append, nursery)
        assert {peer for peer, _ in codes} == {Role.RC, Role.MOBILE}
        first = dict(codes)[Role.RC]
        drone_id = (await one.pair(first, where, carrier)).key_id
        await trio.sleep(10.0)
        assert len(codes) == 2  # it may have to be repeated (PR-32): it is over with the first session
        await one.connect(drone_id, where, carrier)
        await until(lambda: len(codes) == 3)
        with pytest.raises(LinkTimeoutError):
            await other.pair(first, where, carrier)
        await other.pair(codes[2][1], where, carrier)
        await other.connect(drone_id, where, carrier)
        await until(lambda: len(drone.links) == 2)
        await trio.sleep(CODE_LIFETIME_S)
        assert len(codes) == 3
        assert told == [
            "the linking code for a mobile has ended, and nobody has used it: start again with --pair mobile"
        ]


@virtual
async def test_a_code_that_nobody_uses_is_followed_by_none() -> None:
    codes: list[LinkingCode] = []
    told: list[str] = []
    errands = Errands((Role.RC, Role.RC), on_code=lambda _peer, code, _own: codes.append(code))
    async with Drone(stores_of(make_key()), CONFIG, network=MemoryNetwork()) as drone:
        assert not await drone.pairing_over()  # there was none
        async with trio.open_nursery() as nursery:
            show_codes(errands, drone, told.append, nursery)
        assert (len(codes), len(told)) == (1, 1)
        replaced: list[bool] = []

        async def wait() -> None:
            replaced.append(await drone.pairing_over())

        drone.open_pairing()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            await trio.sleep(1.0)
            drone.close_pairing()
        assert replaced == [False]


@virtual
async def test_who_waits_for_somebody_shows_one_code_after_the_other_until_one_was_used() -> None:
    network = MemoryNetwork()
    codes: list[LinkingCode] = []
    told: list[str] = []
    errands = Errands((Role.RC,), on_code=lambda _peer, code, _own: codes.append(code), renews=True)
    async with (
        Drone(stores_of(make_key()), CONFIG, network=network) as drone,
        RemoteController(stores_of(make_key()), CONFIG, network=network) as rc,
        trio.open_nursery() as nursery,
    ):
        where = await drone.listen(LOOPBACK, "tcp")
        show_codes(errands, drone, told.append, nursery)
        await trio.sleep(2.5 * CODE_LIFETIME_S)
        assert len(set(codes)) == len(codes) == 3
        await rc.pair(codes[-1], where, "tcp")
        await rc.connect(drone.key_id(), where, "tcp")
        await trio.sleep(2 * CODE_LIFETIME_S)
        assert (len(codes), told) == (3, [])
