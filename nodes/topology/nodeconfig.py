"""The configuration files of a topology's nodes: who they are, where they find each other, and quick times.

They are made anew for each run, with ports that are free then; keys and pairings are not in them.
"""

import random
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from nodes.topology.tables import NodeTable, Topology
from protocols.errors import ConfigError
from specs.registry import Role

HOST: Final = "127.0.0.1"
"""Everything is on this machine."""
CONFIG: Final = "node.toml"
"""Name of the file in the folder of a node."""
TIMES: Final[Mapping[tuple[str, str], tuple[float, str]]] = {
    ("limits", "keepalive_s"): (0.5, "a sign of life that a busy machine keeps up"),
    ("limits", "dead_after_s"): (
        3.0,
        "a node that is killed says no goodbye: over UDP and relays its neighbours notice after so much silence",
    ),
    ("authority", "hold_after_s"): (2.0, "a drone whose pilot was killed holds its place, and not sooner than needed"),
    ("authority", "act_after_s"): (20.0, "a pilot who is started again finds the drone where he left it"),
}
"""(table, key) -> seconds, and why."""
_FIRST_PORT, _LAST_PORT = 12_000, 32_000
"""Below those that systems give to clients."""
_TRIES: Final = 10_000


@dataclass(frozen=True, slots=True)
class Ports:
    """Where a node listens, as far as its role does."""

    main: int
    """A drone's and an rc's port, and that of a cloud for its devices."""
    enrolment: int
    """A cloud's port for devices that have a token."""


def choose_ports(topology: Topology) -> dict[str, Ports]:
    """Return ports that nobody has at this moment; ConfigError if there are none."""
    free = _free_ports()
    try:
        return {name: Ports(next(free), next(free)) for name in topology.nodes}
    except StopIteration:
        raise ConfigError(f"there are no free ports on {HOST}: end other programs first") from None


def _free_ports() -> Iterator[int]:
    given: set[int] = set()
    for _ in range(_TRIES):
        port = random.SystemRandom().randrange(_FIRST_PORT, _LAST_PORT)
        if port not in given and _is_free(port):
            given.add(port)
            yield port


def _is_free(port: int) -> bool:
    """Whether nobody has a port, for streams and for datagrams."""
    try:
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            with socket.socket(socket.AF_INET, kind) as probe:
                probe.bind((HOST, port))
    except OSError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class Places:
    """What the configuration files are made of, besides the topology."""

    ports: Mapping[str, Ports]
    """Name of each node -> where it listens."""
    ids: Mapping[str, bytes]
    """Name of each node -> its key id."""


def write_configs(topology: Topology, folder: Path, places: Places) -> None:
    """Write the configuration of every node into its folder."""
    for name in topology.nodes:
        (folder / name / CONFIG).write_text(node_toml(topology, name, places), encoding="utf-8")


def node_toml(topology: Topology, name: str, places: Places, drone: str | None = None) -> str:
    """Return the configuration of a node; ``drone``: the one that an rc is about to be paired with."""
    node = topology.nodes[name]
    tables: dict[str, dict[str, str]] = {
        "node": {"role": _quoted(node.role.name.lower()), "name": _quoted(name)},
        "link": {"suites": f"[{_quoted(topology.topology.suite.name)}]"},
    }
    _ADD[node.role](tables, topology, name, places)
    if drone is not None:
        tables["link"]["connect"] = _at(places.ports[drone].main)
    for (table, key), (value, _) in TIMES.items():
        if table != "authority" or node.role is Role.DRONE:
            tables.setdefault(table, {})[key] = f"{value:g}"
    head = f"# {name} of the topology {topology.name}; written by `aerolink run`, anew each time.\n"
    return head + "".join(f"\n[{table}]\n{_lines(keys)}" for table, keys in tables.items())


Tables = dict[str, dict[str, str]]


def _drone(tables: Tables, topology: Topology, name: str, places: Places) -> None:
    node = topology.nodes[name]
    tables["link"] |= {"carrier": _quoted(node.carrier), "listen": _at(places.ports[name].main)}
    tables["flight"] = {"model": "true"}
    tables["video"] = {"enabled": str(node.video).lower()}


def _rc(tables: Tables, topology: Topology, name: str, places: Places) -> None:
    node = topology.nodes[name]
    where = [f"{places.ids[drone].hex()}@{HOST}:{places.ports[drone].main}" for drone in node.drones]
    tables["link"] |= {
        "carrier": _quoted(topology.nodes[node.drones[0]].carrier),
        "connect": _at(places.ports[node.drones[0]].main),
        "drones": f"[{', '.join(map(_quoted, where))}]",
    }
    tables["ground"] = {"listen": _at(places.ports[name].main)}
    _add_way(tables, node, places)
    _add_pilot(tables, node, places)


def _mobile(tables: Tables, topology: Topology, name: str, places: Places) -> None:
    node = topology.nodes[name]
    tables["ground"] = {"connect": _at(places.ports[node.rc].main)}
    _add_way(tables, node, places)
    _add_pilot(tables, node, places)


def _cloud(tables: Tables, _topology: Topology, name: str, places: Places) -> None:
    ports = places.ports[name]
    tables["cloud"] = {"listen": _at(ports.main), "enrolment": _at(ports.enrolment)}


_ADD: Final = {Role.DRONE: _drone, Role.RC: _rc, Role.MOBILE: _mobile, Role.CLOUD: _cloud}


def _add_way(tables: Tables, node: NodeTable, places: Places) -> None:
    tables["cloud"] = {"enabled": str(bool(node.cloud)).lower()}
    if node.cloud:
        ports = places.ports[node.cloud]
        tables["cloud"] |= {"connect": _at(ports.main), "enrolment": _at(ports.enrolment)}


def _add_pilot(tables: Tables, node: NodeTable, places: Places) -> None:
    tables["pilot"] = {"plays": _quoted(node.plays)}
    if node.partner:
        tables["pilot"]["partner"] = _quoted(places.ids[node.partner].hex())


def _lines(keys: Mapping[str, str]) -> str:
    return "".join(f"{key} = {value}\n" for key, value in keys.items())


def _at(port: int) -> str:
    return _quoted(f"{HOST}:{port}")


def _quoted(text: str) -> str:
    return f'"{text}"'
