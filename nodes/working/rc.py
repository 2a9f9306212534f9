"""A remote controller from its configuration."""

from typing import Final

from nodes.config import Config
from nodes.remote import RemoteController
from nodes.stations.notes import Line, Say
from nodes.stations.openings import open_kept
from nodes.stations.rc import DronePlace, RcSetup, RcStation
from nodes.stations.scripts import fly_by
from nodes.stores.spoolrules import SpoolLimits
from nodes.working.errands import Errands, only, show_codes
from protocols.crypto.fingerprint import fingerprint_text
from specs.registry import Role

_MIB: Final = 2**20


async def work_rc(config: Config, errands: Errands, say: Say) -> None:
    limits = SpoolLimits(config.logs.quota_mib * _MIB)
    async with (
        open_kept(config.node.state_dir, limits) as kept,
        RemoteController(kept.stores, config.link_config()) as rc,
    ):
        if errands.code is not None:
            record = await rc.pair(errands.code, config.link.connect, config.link.carrier)
            say(Line(config.name, f"paired with drone {fingerprint_text(record.key_id)}"))
        drone = await only(kept.state.peers, Role.DRONE)
        setup = RcSetup((DronePlace(drone.key_id, config.link.connect),), config.ground.listen, config.link.carrier)
        station = RcStation(rc, setup, kept.logs, say, config.name)
        station.fly = fly_by(config.pilot, config.name, say)
        where = await station.listen()
        station.tell(f"listens for mobiles on {where}")
        show_codes(errands, rc.open_pairing, Role.RC, rc.key_id())
        await station.run()
