"""Provisioning: keys, pairings and certificates of a topology's nodes, as persons with codes and tokens would do it.

The stations themselves run, over loopback, with their errands. Codes and tokens are carried in memory. What comes of it
is in the state folders of the nodes, and nowhere else.
"""

import json
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

import trio

from nodes.config import load
from nodes.pki.folder import AuthorityFolder
from nodes.stations.notes import Note
from nodes.stations.openings import PKI
from nodes.stores.statedir import StateDir
from nodes.topology.board import Board
from nodes.topology.links import TopologyLink, links_of
from nodes.topology.nodeconfig import CONFIG, Places, choose_ports, node_toml, write_configs
from nodes.topology.tables import NodeTable, Topology
from nodes.working import Errands, work
from protocols.crypto.fingerprint import key_id_of
from protocols.errors import ConfigError, LinkTimeoutError
from protocols.pairing import LinkingCode
from specs.registry import Role

NODES: Final = "nodes"
"""The folder of the nodes' folders."""
_MAKING: Final = "nodes.making"
_RECORD: Final = "topology.json"
_STATE: Final = "state"
_STEP_S: Final = 60.0
"""For one link to come up: a hundred times what it takes."""
_TOKEN_S: Final = 3_600

Tell = Callable[[str], None]


async def provision(topology: Topology, folder: Path, tell: Tell) -> Path:
    """Return the folder of the nodes' folders below ``folder``, made and provisioned if it is not there.

    ConfigError if it is of another topology or cannot be made, LinkTimeoutError if a link does not come up, and what
    the stations raise.
    """
    done = folder / NODES
    if done.exists():
        _check_record(topology, done)
        tell(f"has its nodes already: {done}")
        return done
    making = folder / _MAKING
    await trio.to_thread.run_sync(_make_folders, topology, making)
    await _Provisioning(topology, making, tell).run()
    (making / _RECORD).write_text(json.dumps(_record(topology)), encoding="utf-8")
    making.rename(done)  # all of it, or nothing
    return done


def ids_of(topology: Topology, nodes: Path) -> dict[str, bytes]:
    """Return the key id of each node; blocks. ConfigError, KeyFormatError."""
    dh = topology.topology.suite.dh
    ids: dict[str, bytes] = {}
    for name in topology.nodes:
        with StateDir.open(nodes / name / _STATE) as state:
            ids[name] = key_id_of(dh, state.key_files.load(dh).public)
    return ids


def _make_folders(topology: Topology, making: Path) -> None:
    try:
        if making.exists():  # of a run that was ended before its time
            shutil.rmtree(making)
        making.mkdir(mode=0o700, parents=True)
        for name in topology.nodes:
            (making / name).mkdir(mode=0o700)
    except OSError as error:
        raise ConfigError(f"{making} cannot be made: {os.strerror(error.errno or 0)}") from None
    for name in topology.nodes:
        with StateDir.open(making / name / _STATE, create=True) as state:
            state.key_files.generate(topology.topology.suite.dh)


def _record(topology: Topology) -> dict[str, object]:
    """What must be the same for a folder to be used again: who there is, and who knows whom."""
    nodes = {name: node.role.name.lower() for name, node in topology.nodes.items()}
    links = sorted([link.name, link.maker, link.answerer] for link in links_of(topology))
    return {"suite": topology.topology.suite.name, "nodes": nodes, "links": links}


def _check_record(topology: Topology, nodes: Path) -> None:
    try:
        found = json.loads((nodes / _RECORD).read_bytes())
    except (OSError, ValueError):
        raise ConfigError(f"{nodes} is not of a topology: name another folder") from None
    if found != _record(topology):
        raise ConfigError(f"{nodes} is of another topology, or this one has changed: name another folder")


class _Provisioning:
    """Each step begins the stations that it needs with their errands, and waits for its link."""

    def __init__(self, topology: Topology, folder: Path, tell: Tell) -> None:
        self._topology = topology
        self._folder = folder
        self._tell = tell
        self._places = Places(choose_ports(topology), ids_of(topology, folder))
        self._board = Board(topology, self._places.ids)
        self._codes: dict[tuple[str, Role], list[LinkingCode]] = {}
        self._running: dict[str, tuple[trio.CancelScope, trio.Event]] = {}

    async def run(self) -> None:
        topology = self._topology
        write_configs(_idle(topology), self._folder, self._places)
        async with trio.open_nursery() as nursery:
            for name in topology.of_role(Role.DRONE):
                await self._begin(nursery, name, Errands(self._shown_by(name)))
            for name in topology.of_role(Role.CLOUD):
                await self._begin(nursery, name)
            for name in topology.of_role(Role.RC):
                await self._set_up_rc(nursery, name, topology.nodes[name])
            for name in topology.of_role(Role.MOBILE):
                await self._set_up_mobile(nursery, name, topology.nodes[name])
            for name in topology.of_role(Role.CLOUD):
                await self._pair_drones(nursery, name, topology.nodes[name])
            nursery.cancel_scope.cancel()

    # --- roles ----------------------------------------------------------------------------------

    async def _set_up_rc(self, nursery: trio.Nursery, name: str, node: NodeTable) -> None:
        """Pair with one drone after the other; a dock enrols at its cloud."""
        for count, drone in enumerate(node.drones, 1):
            self._write(name, replace(node, drones=node.drones[:count]), drone)
            is_last = count == len(node.drones)
            errands = Errands(
                shows=self._shown_by(name) if is_last else (),
                asks=Role.DRONE,
                code=await self._code(drone, Role.RC),
                token=await self._token(name, node.cloud) if is_last and node.cloud else None,
            )
            await self._begin(nursery, name, errands)
            await self._up(name, drone)
        self._write(name, node)
        if node.cloud:
            await self._up(name, node.cloud)

    async def _set_up_mobile(self, nursery: trio.Nursery, name: str, node: NodeTable) -> None:
        token = await self._token(name, node.cloud) if node.cloud else None
        code = await self._code(node.rc, Role.MOBILE)
        await self._begin(nursery, name, Errands(asks=Role.RC, code=code, token=token))
        await self._up(name, node.rc)
        if node.cloud:
            await self._up(name, node.cloud)
        await self._pair_drones(nursery, name, node)

    async def _pair_drones(self, nursery: trio.Nursery, name: str, node: NodeTable) -> None:
        """Pair a mobile or a cloud with its drones, over others."""
        for drone in node.drones:
            code = await self._code(drone, node.role)
            errands = Errands(asks=Role.DRONE, code=code, drone_id=self._places.ids[drone])
            await self._begin(nursery, name, errands)
            for device, each in self._topology.nodes.items():
                if each.cloud == name:  # else it waits longer each time before it looks for its cloud again
                    await self._begin(nursery, device)
            await self._up(name, drone)

    def _shown_by(self, name: str) -> tuple[Role, ...]:
        """For whom a node shows codes: everybody who makes a link to it, but over HTTPS."""
        makers = [link.maker for link in links_of(self._topology) if link.answerer == name and link.carrier != "https"]
        return tuple(self._topology.nodes[maker].role for maker in makers)

    # --- stations -------------------------------------------------------------------------------

    async def _begin(self, nursery: trio.Nursery, name: str, errands: Errands | None = None) -> None:
        """Begin a station, anew if it is running."""
        await self._end(name)
        scope, ended = self._running[name] = trio.CancelScope(), trio.Event()
        self._board.begin(name)
        errands = replace(errands or Errands(), on_code=partial(self._take_code, name))
        nursery.start_soon(self._work, name, errands, scope, ended)

    async def _work(self, name: str, errands: Errands, scope: trio.CancelScope, ended: trio.Event) -> None:
        try:
            with scope:
                await work(load(self._folder / name / CONFIG), errands, self._hear)
        finally:
            self._board.end(name, "ended")
            ended.set()

    async def _end(self, name: str) -> None:
        if name in self._running:
            scope, ended = self._running.pop(name)
            scope.cancel()
            await ended.wait()

    def _hear(self, note: Note) -> None:
        self._board.take(note)

    def _write(self, name: str, node: NodeTable, drone: str | None = None) -> None:
        """Write the configuration of a node that is being set up; ``drone``: with which it is paired next."""
        topology = replace(self._topology, nodes={**self._topology.nodes, name: node})
        text = node_toml(_idle(topology), name, self._places, drone)
        (self._folder / name / CONFIG).write_text(text, encoding="utf-8")

    # --- what is carried, and what is waited for ----------------------------------------------------

    def _take_code(self, name: str, peer: Role, code: LinkingCode, _: bytes) -> None:
        self._codes.setdefault((name, peer), []).append(code)
        self._board.news.set()

    async def _code(self, name: str, peer: Role) -> LinkingCode:
        """Return a code that a node shows for a peer, and that nobody has used."""
        await self._until(lambda: bool(self._codes.get((name, peer))), f"{name} shows no linking code")
        return self._codes[name, peer].pop()

    async def _token(self, name: str, cloud: str) -> str:
        """Return a token with which one device may enrol, as soon as the cloud is there."""
        await self._until(lambda: bool(self._board.book.status(cloud).latest), f"{cloud} has not begun")

        def make() -> str:
            now = time.time()
            with AuthorityFolder.open_beside(self._folder / cloud / _STATE / PKI, now) as authority:
                return authority.make_token(name, _TOKEN_S, now).text()

        return await trio.to_thread.run_sync(make)

    async def _up(self, maker: str, answerer: str) -> None:
        link = next(each for each in self._board.links if (each.maker, each.answerer) == (maker, answerer))
        await self._until(lambda: self._board.is_up(link), f"the link from {maker} to {answerer} did not come up")
        self._tell(_done(link))

    async def _until(self, condition: Callable[[], bool], otherwise: str) -> None:
        with trio.move_on_after(_STEP_S):
            while not condition():
                self._board.news.is_set = False
                await self._board.news.wait()
            return
        raise LinkTimeoutError(f"provisioning: {otherwise} in {_STEP_S:g} s")


def _idle(topology: Topology) -> Topology:
    """Return the topology with pilots that do nothing: what is being set up is not flown."""
    nodes = {name: replace(node, plays="none", partner="") for name, node in topology.nodes.items()}
    return replace(topology, nodes=nodes)


def _done(link: TopologyLink) -> str:
    what = "enrolled at" if link.carrier == "https" else "paired with"
    return f"{link.maker} {what} {link.answerer}"
