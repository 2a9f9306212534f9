"""The tables of the configuration file. The docstring of each field is its entry in docs/config.md."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final, Literal

from nodes.config.endpoint import DEFAULT_PORT, Endpoint
from nodes.config.kinds import (
    DronePlaces,
    FilePath,
    HostPort,
    KeyId,
    ListOf,
    MavlinkPorts,
    Names,
    Number,
    OneOf,
    Text,
    YesNo,
)
from nodes.config.mavlink import MavlinkEndpoint
from protocols.crypto.suites import DEFAULT_SUITE, SUITES, Suite
from protocols.link.config import LinkConfig
from specs.registry import (
    MAX_HANDSHAKE_DATAGRAM_BYTES,
    MAX_PROBED_DATAGRAM_BYTES,
    MAX_UNAUTHENTICATED_STREAMS,
    REKEY_AFTER_S,
    Role,
)

LogLevel = Literal["debug", "info", "warning", "error"]
Carrier = Literal["udp", "tcp"]
FailsafeAction = Literal["return", "land"]
Plays = Literal["none", "circuit", "turns"]

LOOPBACK: Final = Endpoint("127.0.0.1", DEFAULT_PORT)
GROUND: Final = Endpoint("127.0.0.1", 14_610)
CLOUD: Final = Endpoint("127.0.0.1", 14_643)
ENROLMENT: Final = Endpoint("127.0.0.1", 14_644)
_LINK: Final = LinkConfig()
_ROLES: Final = OneOf({role.name.lower(): role for role in Role})
_LOG_LEVELS: Final = OneOf({level: level for level in ("debug", "info", "warning", "error")})
_ACTIONS: Final = OneOf({action: action for action in ("return", "land")})
PLAYS: Final = OneOf({plays: plays for plays in ("none", "circuit", "turns")})
"""What a pilot of the program's own may do."""
_HOLDERS: Final = ListOf(OneOf({role.name.lower(): role for role in (Role.RC, Role.MOBILE, Role.CLOUD)}))
_CARRIERS: Final = OneOf({carrier: carrier for carrier in ("udp", "tcp")})
_SUITES: Final = ListOf(OneOf({suite.name: suite for suite in SUITES.values()}))


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeTable:
    """Who this node is."""

    role: Annotated[Role, _ROLES]
    """What the node is. A drone waits for an rc (remote controller), an rc for a mobile; mobiles come to a cloud."""
    name: Annotated[str, Text(64)] = ""
    """What people call the node; it stays here and is never sent."""
    state_dir: Annotated[Path, FilePath()] = Path("state")
    """Folder of keys, paired devices and counters; only its owner may read it. One node per folder."""
    log_level: Annotated[LogLevel, _LOG_LEVELS] = "warning"
    """Least severe messages that are logged; `--log-level` goes first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkTable:
    """How the link is carried."""

    carrier: Annotated[Carrier, _CARRIERS] = "udp"
    """What carries the link; both ends must use the same."""
    listen: Annotated[Endpoint, HostPort(any_port=True)] = LOOPBACK
    """Where a drone waits. The default serves this machine only; `0.0.0.0:14600` or `[::]:14600` serves every
    network of the machine. Port 0 lets the system choose."""
    connect: Annotated[Endpoint, HostPort(any_port=False)] = LOOPBACK
    """Where an rc finds the drone; with several drones, where it finds the one that it is being paired with."""
    drones: Annotated[tuple[tuple[bytes, Endpoint], ...], DronePlaces()] = ()
    """Where an rc with several drones finds each of them, the first being the one that its mobiles see: key id and
    address. With one drone `connect` is enough."""
    suites: Annotated[tuple[Suite, ...], _SUITES] = (DEFAULT_SUITE,)
    """Cryptographic suites that the node allows. An rc offers the first and no other; a drone accepts each of
    them. There is no fallback."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroundTable:
    """The link between rc and mobile, over TCP."""

    listen: Annotated[Endpoint, HostPort(any_port=True)] = GROUND
    """Where an rc waits for mobiles."""
    connect: Annotated[Endpoint, HostPort(any_port=False)] = GROUND
    """Where a mobile finds its rc."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudTable:
    """HTTPS between mobile and cloud."""

    listen: Annotated[Endpoint, HostPort(any_port=True)] = CLOUD
    """Where a cloud serves the devices that it has enrolled."""
    enrolment: Annotated[Endpoint, HostPort(any_port=True)] = ENROLMENT
    """Where a cloud enrols devices; where a mobile or a dock goes with its token."""
    connect: Annotated[Endpoint, HostPort(any_port=False)] = CLOUD
    """Where a mobile or a dock finds its cloud; the host must be one of the cloud's `names`."""
    names: Annotated[tuple[str, ...], Names(Text(253))] = ("127.0.0.1", "localhost")
    """Host names and addresses that the cloud's certificate is made for."""
    enabled: Annotated[bool | None, YesNo()] = None
    """Whether this node speaks with a cloud. Without this key a mobile does, and an rc does not; a dock is an rc that
    does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorityTable:
    """Who may command a drone, and what it does when nobody can."""

    holders: Annotated[tuple[Role, ...], _HOLDERS] = (Role.RC, Role.MOBILE)
    """Roles that may hold the right to fly and the right to the payload; all paired, each by its own key."""
    owner: Annotated[bytes | None, KeyId()] = None
    """Key id of the owner, who may take any right; without it the only rc that is paired is the owner, and with two
    of them nobody."""
    hold_after_s: Annotated[float, Number(0.2, 60)] = 1.5
    """Seconds without the holder's heartbeats after which the drone holds its position."""
    act_after_s: Annotated[float, Number(0.2, 3_600)] = 10.0
    """Seconds after which it does what `action` says; more than `hold_after_s`."""
    action: Annotated[FailsafeAction, _ACTIONS] = "return"
    """What it does then: return home, or land."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogsTable:
    """Sealed flight logs on their way to the cloud."""

    quota_mib: Annotated[int, Number(1, 1_048_576, whole=True)] = 4_096
    """Most that is kept here, in MiB (2^20 bytes)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitsTable:
    """Times and sizes; the defaults suit a direct radio link."""

    handshake_deadline_s: Annotated[float, Number(1, 60)] = _LINK.handshake_deadline_s
    """Seconds after which an unfinished handshake is given up."""
    keepalive_s: Annotated[float, Number(0.05, 60)] = _LINK.keepalive_s
    """Seconds between two signs of life."""
    dead_after_s: Annotated[float, Number(0.2, 300)] = _LINK.dead_after_s
    """Seconds without authentic traffic after which a link counts as lost; more than `keepalive_s`."""
    rekey_after_s: Annotated[float, Number(1, REKEY_AFTER_S)] = _LINK.rekey_after_s
    """Age in seconds at which keys are replaced."""
    max_peers: Annotated[int, Number(1, 65_536, whole=True)] = _LINK.max_peers
    """Most links at the same time."""
    max_datagram_bytes: Annotated[int, Number(576, MAX_HANDSHAKE_DATAGRAM_BYTES, whole=True)] = _LINK.max_datagram_bytes
    """Largest protected UDP datagram in bytes, UDP header excluded, until path MTU discovery finds that larger ones
    pass; handshakes have their own fixed sizes."""
    probe_max_bytes: Annotated[int | None, Number(0, MAX_PROBED_DATAGRAM_BYTES, whole=True)] = _LINK.probe_max_bytes
    """Largest datagram that path MTU discovery tries; `max_datagram_bytes` or less turns it off. Without this key
    65507; but with a `max_datagram_bytes` below 1200 there is no discovery."""
    max_pending_handshakes: Annotated[int, Number(1, 65_536, whole=True)] = _LINK.max_pending
    """Most unfinished handshakes at the same time."""
    max_unauthenticated_streams: Annotated[int, Number(1, 4_096, whole=True)] = MAX_UNAUTHENTICATED_STREAMS
    """Most TCP connections that have not authenticated themselves."""
    load_initiations_per_s: Annotated[float, Number(1, 100_000)] = _LINK.load_initiations_per_s
    """Handshakes per second from which on a cookie is asked for first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlightTable:
    """Where a drone's telemetry comes from; without `replay` and `model` there is none."""

    replay: Annotated[Path | None, FilePath()] = None
    """Recorded flight (`.tlog`) to play."""
    model: Annotated[bool, YesNo()] = False
    """Whether to fly the built-in model; not together with `replay`."""
    speed: Annotated[float, Number(0.1, 1_000)] = 1.0
    """How much faster than in reality."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoTable:
    """A drone's pictures."""

    enabled: Annotated[bool, YesNo()] = False
    """Whether to send pictures."""
    bitrate_bps: Annotated[int, Number(10_000, 100_000_000, whole=True)] = 2_000_000
    """Bits per second."""
    rate_hz: Annotated[float, Number(1, 240)] = 30.0
    """Pictures per second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MavlinkTable:
    """Live MAVLink: an autopilot at the drone, ground stations at rc or mobile."""

    ports: Annotated[tuple[MavlinkEndpoint, ...], MavlinkPorts()] = ()
    """Where MAVLink comes from and goes to, for example `"udpin:127.0.0.1:14550"`, `"serial:/dev/ttyACM0:57600"`;
    `--mavlink` goes first. At the drone the one autopilot; elsewhere each is for one or more ground stations."""
    fly: Annotated[bool, YesNo()] = True
    """Whether an rc or mobile with ground stations takes the right to fly when nobody has it. Without the right only
    frames that ask and change nothing go up."""
    failsafe: Annotated[bool, YesNo()] = True
    """Whether a drone commands its autopilot when the holder of the right to fly is not heard. Without it only the
    autopilot's own failsafe acts, which must be set in any case."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PilotTable:
    """A pilot of the program's own at an rc or mobile: for trying things out, not for real vehicles."""

    plays: Annotated[Plays, PLAYS] = "none"
    """What it does with each drone. `"circuit"` takes both rights when nobody has them, and takes off, flies the route,
    holds and lands, again and again; `"turns"` does so, too, and hands the right to fly to its `partner` and takes it
    back; `"none"` does nothing."""
    partner: Annotated[bytes | None, KeyId()] = None
    """Key id of the other pilot, who plays `"turns"` as well."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LookTable:
    """Looking at a running node from outside."""

    control: Annotated[bool, YesNo()] = True
    """Whether `aerolink status` and `aerolink monitor` may attach, over a socket in the state folder that only its
    owner may use."""
    metrics: Annotated[Endpoint | None, HostPort(any_port=True)] = None
    """Where metrics are served in OpenMetrics, over HTTP without any protection; without this key nowhere.
    `--metrics` goes first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """A whole configuration file."""

    node: NodeTable
    """Who this node is."""
    link: LinkTable = field(default_factory=LinkTable)
    """How the link is carried."""
    ground: GroundTable = field(default_factory=GroundTable)
    """The link between rc and mobile."""
    cloud: CloudTable = field(default_factory=CloudTable)
    """HTTPS between mobile and cloud."""
    authority: AuthorityTable = field(default_factory=AuthorityTable)
    """Who may command a drone."""
    logs: LogsTable = field(default_factory=LogsTable)
    """Sealed flight logs."""
    limits: LimitsTable = field(default_factory=LimitsTable)
    """Times and sizes."""
    flight: FlightTable = field(default_factory=FlightTable)
    """Where telemetry comes from."""
    video: VideoTable = field(default_factory=VideoTable)
    """Pictures."""
    mavlink: MavlinkTable = field(default_factory=MavlinkTable)
    """Live MAVLink."""
    pilot: PilotTable = field(default_factory=PilotTable)
    """A pilot of the program's own."""
    look: LookTable = field(default_factory=LookTable)
    """Looking from outside."""

    @property
    def name(self) -> str:
        """What the node is called where it tells of itself."""
        return self.node.name or self.node.role.name.lower()

    @property
    def has_cloud(self) -> bool:
        """Whether the node goes to a cloud."""
        enabled = self.cloud.enabled
        return self.node.role is Role.MOBILE if enabled is None else enabled

    def link_config(self) -> LinkConfig:
        """Return what the protocol is told of this configuration."""
        limits = self.limits
        return LinkConfig(
            suites=self.link.suites,
            keepalive_s=limits.keepalive_s,
            dead_after_s=limits.dead_after_s,
            rekey_after_s=limits.rekey_after_s,
            handshake_deadline_s=limits.handshake_deadline_s,
            max_datagram_bytes=limits.max_datagram_bytes,
            probe_max_bytes=limits.probe_max_bytes,
            max_peers=limits.max_peers,
            max_pending=limits.max_pending_handshakes,
            load_initiations_per_s=limits.load_initiations_per_s,
        )


TABLES: Final = {
    "node": NodeTable,
    "link": LinkTable,
    "ground": GroundTable,
    "cloud": CloudTable,
    "authority": AuthorityTable,
    "logs": LogsTable,
    "limits": LimitsTable,
    "flight": FlightTable,
    "video": VideoTable,
    "mavlink": MavlinkTable,
    "pilot": PilotTable,
    "look": LookTable,
}
"""Name of each table -> its class, in the order of the reference page."""
