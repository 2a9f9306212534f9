"""A mobile from its configuration, and how it is paired with the drone behind its remote controller."""

from contextlib import AsyncExitStack
from functools import partial
from typing import Final

import trio

from nodes.config import Config
from nodes.mobile import Mobile
from nodes.stations.cloudway import CloudWay
from nodes.stations.mobile import MobileSetup, MobileStation
from nodes.stations.notes import Line, Say
from nodes.stations.openings import open_kept, open_way
from nodes.stations.scripts import fly_by
from nodes.stores.spoolrules import SpoolLimits
from nodes.uplink.enrolling import enrol
from nodes.working.errands import Errands, one_or_none, only, through
from protocols.crypto.fingerprint import fingerprint_text
from protocols.pairing import LinkingCode
from specs.groundlink import LinkQuality
from specs.registry import LinkType, Role

_MIB: Final = 2**20


async def work_mobile(config: Config, errands: Errands, say: Say) -> None:
    limits = SpoolLimits(config.logs.quota_mib * _MIB)
    async with AsyncExitStack() as stack:
        kept = await stack.enter_async_context(open_kept(config.node.state_dir, limits))
        way: CloudWay | None = None
        if config.has_cloud:
            way = await stack.enter_async_context(open_way(config.node.state_dir))
            if errands.token is not None:
                await enrol(config.cloud.enrolment, errands.token, way.credentials)
                say(Line(config.name, f"enrolled at the cloud as device {way.credentials.device_id}"))
        mobile = await stack.enter_async_context(Mobile(kept.stores, config.link_config()))
        if errands.code is not None and errands.asks is Role.RC:
            record = await mobile.pair(errands.code, config.ground.connect, "tcp")
            say(Line(config.name, f"paired with rc {fingerprint_text(record.key_id)}"))
        rc = await only(kept.state.peers, Role.RC)
        drone = await one_or_none(kept.state.peers, Role.DRONE)
        drone_id = None if drone is None else drone.key_id
        cloud = config.cloud.connect if config.has_cloud else None
        setup = MobileSetup(rc.key_id, config.ground.connect, drone_id, cloud)
        station = MobileStation(mobile, setup, kept.logs, way, say, config.name)
        station.fly = fly_by(config.pilot, config.name, say)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(station.run)
            if errands.code is not None and errands.asks is Role.DRONE:
                nursery.start_soon(_pair_mobile, mobile, station, rc.key_id, errands, errands.code)


async def _pair_mobile(mobile: Mobile, station: MobileStation, rc: bytes, errands: Errands, code: LinkingCode) -> None:
    """Pair with the drone behind the remote controller, which says who it is; that it is, the code proves."""
    heard: list[bytes] = [] if errands.drone_id is None else [errands.drone_id]
    came = trio.Event()

    def see(message: object) -> None:
        if isinstance(message, LinkQuality) and message.link is LinkType.AIRLINK and not heard:
            heard.append(message.peer)
            came.set()

    if not heard:
        station.see = see
        await came.wait()
    record = await through(partial(mobile.pair_over, rc, code, heard[0]))
    station.tell(f"paired with drone {fingerprint_text(record.key_id)}, end to end")
    await station.keep_drone(record.key_id)
