"""A mobile from its configuration, and how it is paired with the drone behind its remote controller."""

from contextlib import AsyncExitStack
from functools import partial
from typing import Final

import trio

from nodes.config import Config
from nodes.mavlink.ground import GroundPorts, fly_with_ground
from nodes.mobile import Mobile
from nodes.stations.mobile import MobileSetup, MobileStation
from nodes.stations.notes import Line, Say
from nodes.stations.openings import open_kept
from nodes.stations.scripts import fly_by
from nodes.stores.spoolrules import SpoolLimits
from nodes.working.errands import Errands, one_or_none, only, through
from nodes.working.way import cloud_way
from protocols.crypto.fingerprint import fingerprint_text
from protocols.pairing import LinkingCode
from specs.registry import Role

_MIB: Final = 2**20


async def work_mobile(config: Config, errands: Errands, say: Say) -> None:
    limits = SpoolLimits(config.logs.quota_mib * _MIB)
    async with AsyncExitStack() as stack:
        kept = await stack.enter_async_context(open_kept(config.node.state_dir, limits))
        way = await stack.enter_async_context(cloud_way(config, errands, say))
        ports = GroundPorts(config.mavlink.ports, lambda text: say(Line(config.name, text)))
        ground = await stack.enter_async_context(ports)
        mobile = await stack.enter_async_context(Mobile(kept.stores, config.link_config()))
        if errands.code is not None and errands.asks is Role.RC:
            record = await mobile.pair(errands.code, config.ground.connect, "tcp")
            say(Line(config.name, f"paired with rc {fingerprint_text(record.key_id)}"))
        rc = await only(kept.state.peers, Role.RC)
        drone = await one_or_none(kept.state.peers, Role.DRONE)
        drone_id = None if drone is None else drone.key_id
        cloud = None if way is None else config.cloud.connect
        setup = MobileSetup(rc.key_id, config.ground.connect, drone_id, cloud)
        station = MobileStation(mobile, setup, kept.logs, way, say, config.name)
        station.fly = fly_with_ground(config.mavlink) or fly_by(config.pilot, config.name, say)
        station.see = ground.see
        ground.attach(station.all_hands)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(station.run)
            if errands.code is not None and errands.asks is Role.DRONE:
                nursery.start_soon(_pair_mobile, mobile, station, rc.key_id, errands, errands.code)


async def _pair_mobile(mobile: Mobile, station: MobileStation, rc: bytes, errands: Errands, code: LinkingCode) -> None:
    """Pair with a drone behind the remote controller: the one that it shows, unless another is named.

    Who that is, the controller says; that it is, the code proves.
    """
    drone_id = await station.shown_drone() if errands.drone_id is None else errands.drone_id
    record = await through(partial(mobile.pair_over, rc, code, drone_id))
    station.tell(f"paired with drone {fingerprint_text(record.key_id)}, end to end")
    await station.keep_drone(record.key_id)
