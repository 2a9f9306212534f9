"""A cloud from its configuration, and how it is paired with a drone."""

from functools import partial

import trio

from nodes.cloud.node import Cloud
from nodes.config import Config
from nodes.stations.cloud import CloudSetup, CloudStation
from nodes.stations.notes import Say
from nodes.stations.openings import open_cloud
from nodes.working.errands import Errands, through
from protocols.crypto.fingerprint import fingerprint_text
from protocols.errors import UsageError
from protocols.pairing import LinkingCode


async def work_cloud(config: Config, errands: Errands, say: Say) -> None:
    async with (
        open_cloud(config.node.state_dir, config.cloud.names) as kept,
        Cloud(kept.stores, config.link_config()) as cloud,
    ):
        station = CloudStation(cloud, CloudSetup(config.cloud.listen, config.cloud.enrolment), say, name=config.name)
        where, enrolment = await station.listen()
        station.tell(f"serves its devices on {where}, and enrols new ones on {enrolment}")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(station.run)
            if errands.code is not None:
                nursery.start_soon(_pair_cloud, cloud, station, errands, errands.code)


async def _pair_cloud(cloud: Cloud, station: CloudStation, errands: Errands, code: LinkingCode) -> None:
    if errands.drone_id is None:
        raise UsageError("name the drone to pair with: its key id stands beside its linking code")
    record = await through(partial(cloud.pair_drone, code, errands.drone_id))
    station.tell(f"paired with drone {fingerprint_text(record.key_id)}, end to end")
    await station.keep_drone(record.key_id)
