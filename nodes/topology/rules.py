"""What the nodes of a topology have to do with each other."""

from collections.abc import Collection, Iterator
from typing import Final

from nodes.config.kinds import BadValueError, Word, hint, shown
from nodes.config.lines import Where
from nodes.topology.links import ways_to_cloud
from nodes.topology.tables import NodeTable, Topology
from specs.registry import Role

MAX_NODES: Final = 64
"""All of them run on one machine."""
_FOR_ROLES: Final = {
    "drones": (Role.RC, Role.MOBILE, Role.CLOUD),
    "rc": (Role.MOBILE,),
    "cloud": (Role.MOBILE, Role.RC),
    "carrier": (Role.DRONE,),
    "video": (Role.DRONE,),
    "plays": (Role.RC, Role.MOBILE),
    "partner": (Role.RC, Role.MOBILE),
}
_NEEDS: Final = {Role.RC: "drones", Role.MOBILE: "rc"}
"""A node of this role is nothing without this key."""

Problems = Iterator[tuple[Where, str]]


def contradictions(topology: Topology, given: Collection[Where]) -> Problems:
    """Give each contradiction as (where, text); ``given`` holds the path of each key that the file has."""
    first = [*_of_the_whole(topology), *_of_each(topology, given)]
    yield from first
    if not first:  # every name leads to a node of the right role
        yield from _of_ways(topology)
        yield from _of_pilots(topology)
        yield from _of_orphans(topology)
        yield from _of_expects(topology)


def _of_the_whole(topology: Topology) -> Problems:
    if not topology.of_role(Role.RC):
        yield ("nodes",), "a topology has at least a drone and an rc: [nodes.NAME] tables say which nodes there are"
    if len(topology.nodes) > MAX_NODES:
        yield ("nodes",), f"a topology has at most {MAX_NODES} nodes, and this one has {len(topology.nodes)}"
    for name in topology.nodes:
        try:
            Word().take(name)
        except BadValueError as error:
            yield ("nodes", name), f"the name of a node {error}"


def _of_each(topology: Topology, given: Collection[Where]) -> Problems:
    for name, node in topology.nodes.items():
        role = node.role.name.lower()
        for key, wanted in _FOR_ROLES.items():
            if ("nodes", name, key) in given and node.role not in wanted:
                names = " or ".join(f'"{each.name.lower()}"' for each in wanted)
                yield ("nodes", name, key), f'"{key}" in [nodes.{name}] is for role {names}, and this is "{role}"'
        need = _NEEDS.get(node.role)
        if need is not None and not getattr(node, need):
            yield ("nodes", name), f'"{need}" is missing in [nodes.{name}]: a node of role "{role}" needs it'
        for index, drone in enumerate(node.drones):
            yield from _named(topology, ("nodes", name, "drones", index), drone, Role.DRONE)
        for key, other, wanted_role in (("rc", node.rc, Role.RC), ("cloud", node.cloud, Role.CLOUD)):
            if other:
                yield from _named(topology, ("nodes", name, key), other, wanted_role)


def _named(topology: Topology, where: Where, other: str, wanted: Role) -> Problems:
    """Look whether a name leads to a node of the right role."""
    _, name, key, *_ = where
    node = topology.nodes.get(other)
    if node is None:
        known = topology.of_role(wanted)
        yield where, f'"{key}" in [nodes.{name}] names {shown(other)}, which is not there{hint(other, known)}'
    elif node.role is not wanted:
        roles = f'its role is "{node.role.name.lower()}", and must be "{wanted.name.lower()}"'
        yield where, f'"{key}" in [nodes.{name}] names "{other}": {roles}'


def _of_ways(topology: Topology) -> Problems:
    """Links over relays need somebody who passes them on."""
    sealed: dict[str, str] = {}
    for name, node in topology.nodes.items():
        if node.role is Role.RC:
            yield from _of_carriers(topology, name, node)
        if node.role is Role.MOBILE:
            yield from _of_mobile(topology, name, node)
        if node.role is not Role.CLOUD:
            continue
        reached = ways_to_cloud(topology, name)
        for index, drone in enumerate(node.drones):
            where: Where = ("nodes", name, "drones", index)
            if drone not in reached:
                way = f'a dock with it, or a mobile of its rc, with cloud = "{name}"'
                yield where, f'"drones" in [nodes.{name}] names "{drone}", to which there is no way: it needs {way}'
            if sealed.setdefault(drone, name) != name:
                yield where, f'"{drone}" seals its flights for one cloud, and [nodes.{sealed[drone]}] names it already'


def _of_carriers(topology: Topology, name: str, node: NodeTable) -> Problems:
    carriers = {drone: topology.nodes[drone].carrier for drone in node.drones}
    if len(set(carriers.values())) > 1:
        listed = ", ".join(f"{drone} {carrier}" for drone, carrier in carriers.items())
        yield (
            ("nodes", name, "drones"),
            f'"drones" in [nodes.{name}] differ in "carrier": {listed}; an rc has one for all',
        )


def _of_mobile(topology: Topology, name: str, node: NodeTable) -> Problems:
    first = topology.nodes[node.rc].drones[0]
    for index, drone in enumerate(node.drones):
        if drone != first:
            why = f'a mobile speaks with the first drone of its rc "{node.rc}", which is "{first}"'
            yield ("nodes", name, "drones", index), f'"drones" in [nodes.{name}] names "{drone}": {why}'


def _of_pilots(topology: Topology) -> Problems:
    for name, node in topology.nodes.items():
        where: Where = ("nodes", name, "partner" if node.partner else "plays")
        if node.plays != "none" and not node.drones:
            yield ("nodes", name, "plays"), f'"plays" in [nodes.{name}]: there is no drone to fly; name one in "drones"'
        if (node.plays == "turns") != bool(node.partner):
            yield where, f'"partner" in [nodes.{name}] is for plays = "turns", which needs it'
        elif node.partner:
            yield from _of_partner(topology, name, node)


def _of_partner(topology: Topology, name: str, node: NodeTable) -> Problems:
    where: Where = ("nodes", name, "partner")
    partner = topology.nodes.get(node.partner)
    if partner is None:
        pilots = [other for other, each in topology.nodes.items() if each.plays == "turns" and other != name]
        yield (
            where,
            f'"partner" in [nodes.{name}] names "{node.partner}", which is not there{hint(node.partner, pilots)}',
        )
    elif node.partner == name or partner.plays != "turns" or not set(partner.drones) & set(node.drones):
        need = 'another node that plays "turns" with the same drone'
        yield where, f'"partner" in [nodes.{name}] names "{node.partner}": it must be {need}'


def _of_orphans(topology: Topology) -> Problems:
    """Every node has a link."""
    named = {drone for name in topology.of_role(Role.RC) for drone in topology.nodes[name].drones}
    named |= {node.cloud for node in topology.nodes.values()}
    keys = {Role.DRONE: 'in "drones" of an rc', Role.CLOUD: 'in "cloud" of a mobile or an rc'}
    for name, node in topology.nodes.items():
        if node.role in keys and name not in named:
            yield ("nodes", name), f"nobody has a link to [nodes.{name}]: name it {keys[node.role]}"


def _of_expects(topology: Topology) -> Problems:
    if topology.expects.hand_overs and not any(node.plays == "turns" for node in topology.nodes.values()):
        text = 'nobody hands a right over: it needs two nodes with plays = "turns"'
        yield ("expects", "hand_overs"), f'"hand_overs" in [expects]: {text}'
    clouds = [node for node in topology.nodes.values() if node.role is Role.CLOUD and node.drones]
    flies = any(node.plays != "none" for node in topology.nodes.values())
    if topology.expects.flights and not (clouds and flies):
        text = "no flight reaches a cloud: it needs a cloud with drones, and a pilot who flies them"
        yield ("expects", "flights"), f'"flights" in [expects]: {text}'
