"""What a node needs once before it can work, done at its first start: a key, and somebody to talk to."""

from dataclasses import replace

from nodes.config import Config
from nodes.config.mavlink import MavlinkEndpoint
from nodes.mobile import Mobile
from nodes.stations.notes import Line, Say
from nodes.stations.openings import open_state
from nodes.stores.statedir import StateDir
from nodes.trust import Stores
from protocols.crypto.fingerprint import fingerprint_text, key_id_of
from protocols.errors import UsageError
from protocols.link.peers import PeerState
from protocols.pairing import LinkingCode
from specs.registry import Role


def with_ports(config: Config, ports: tuple[MavlinkEndpoint, ...]) -> Config:
    """Return a configuration with other MAVLink ports, if any are given; UsageError if they do not fit it."""
    if not ports:
        return config
    if config.node.role is Role.CLOUD:
        raise UsageError("a cloud has no MAVLink ports: name them at the drone, the rc or the mobile")
    if config.node.role is Role.DRONE:
        if len(ports) > 1:
            raise UsageError("a drone has one autopilot: name one port")
        if config.flight.model or config.flight.replay is not None:
            raise UsageError('a live autopilot, and "model" or "replay" in [flight], exclude each other: remove one')
    return replace(config, mavlink=replace(config.mavlink, ports=ports))


def make_keys(config: Config) -> list[str]:
    """Make the keys that the suites of a configuration need and the folder lacks; what was made, a line for each."""
    made: list[str] = []
    with StateDir.open(config.node.state_dir, create=True) as state:
        for dh in dict.fromkeys(suite.dh for suite in config.link.suites):
            if not state.key_files.exists(dh):
                key = state.key_files.generate(dh)
                fingerprint = fingerprint_text(key_id_of(key.dh, key.public))
                made.append(f"made a key for this device: {dh}, {fingerprint}, in {state.key_files.path(dh)}")
    return made


def paired_roles(config: Config) -> frozenset[Role]:
    """Return the roles that the node is paired with."""
    with StateDir.open(config.node.state_dir) as state:
        return frozenset(peer.role for peer in state.peer_files.all() if peer.state is not PeerState.REVOKED)


async def pair_with_rc(config: Config, code: LinkingCode, say: Say) -> None:
    """Pair a mobile with its remote controller, before it begins to work; raises as ``Mobile.pair``."""
    async with (
        open_state(config.node.state_dir) as state,
        Mobile(Stores(state.keys, state.peers, state.counters), config.link_config()) as mobile,
    ):
        record = await mobile.pair(code, config.ground.connect, "tcp")
    say(Line(config.name, f"paired with rc {fingerprint_text(record.key_id)}"))
