"""A remote controller from its configuration: its drones, and its cloud if it is a dock."""

from typing import Final

import trio

from nodes.config import Config
from nodes.mavlink.ground import GroundPorts, fly_with_ground
from nodes.ports import PeerDirectory
from nodes.remote import RemoteController
from nodes.stations.notes import Line, Say
from nodes.stations.openings import open_kept
from nodes.stations.rc import DronePlace, RcSetup, RcStation
from nodes.stations.scripts import fly_by
from nodes.stores.spoolrules import SpoolLimits
from nodes.working.errands import Errands, only, paired_with, show_codes
from nodes.working.way import cloud_way
from protocols.crypto.fingerprint import fingerprint_text
from protocols.errors import ConfigError
from specs.registry import Role

_MIB: Final = 2**20


async def work_rc(config: Config, errands: Errands, say: Say) -> None:
    limits = SpoolLimits(config.logs.quota_mib * _MIB)
    async with (
        open_kept(config.node.state_dir, limits) as kept,
        cloud_way(config, errands, say) as way,
        GroundPorts(config.mavlink.ports, lambda text: say(Line(config.name, text))) as ground,
        RemoteController(kept.stores, config.link_config()) as rc,
    ):
        if errands.code is not None:
            record = await rc.pair(errands.code, config.link.connect, config.link.carrier)
            say(Line(config.name, f"paired with drone {fingerprint_text(record.key_id)}"))
        drones = await _places(config, kept.state.peers, say)
        cloud = None if way is None else config.cloud.connect
        setup = RcSetup(drones, config.ground.listen, config.link.carrier, cloud)
        station = RcStation(rc, setup, kept.logs, say, config.name, way)
        station.fly = fly_with_ground(config.mavlink) or fly_by(config.pilot, config.name, say)
        station.see = ground.see
        ground.attach(station.all_hands)
        where = await station.listen()
        station.tell(f"listens for mobiles on {where}")
        async with trio.open_nursery() as nursery:
            show_codes(errands, rc, station.tell, nursery)
            nursery.start_soon(station.run)


async def _places(config: Config, peers: PeerDirectory, say: Say) -> tuple[DronePlace, ...]:
    """Return where the drones are that the node works with; ConfigError if there is none."""
    paired = [peer.key_id for peer in await paired_with(peers, Role.DRONE)]
    named = [key_id for key_id, _ in config.link.drones]
    if not named and len(paired) > 1:
        raise ConfigError(f'paired with {len(paired)} drones: give each an address, "drones" in [link]')
    if not named:
        return (DronePlace((await only(peers, Role.DRONE)).key_id, config.link.connect),)
    if not set(named) & set(paired):
        raise ConfigError('none of the "drones" in [link] is paired with this node: start it once with --pair drone')
    strange = [f'drone {each.hex()}, of "drones" in [link], is not paired' for each in named if each not in paired]
    lost = [f'drone {each.hex()} is paired, and not in "drones" of [link]' for each in paired if each not in named]
    for line in (*strange, *lost):
        say(Line(config.name, f"{line}: it is left alone"))
    return tuple(DronePlace(key_id, endpoint) for key_id, endpoint in config.link.drones if key_id in paired)
