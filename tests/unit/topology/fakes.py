"""Nodes that only say what real ones would: for the runner, on a clock of the test."""

from collections import defaultdict
from collections.abc import Callable
from typing import Final

import trio

from nodes.stations.notes import DroneSeen, LinkIsDown, LinkIsUp, LinkMeter, Live, Note
from nodes.topology import Topology, TopologyLink, links_of
from nodes.topology.lives import End, Life
from protocols.crypto.fingerprint import fingerprint_text
from specs.registry import Role

_TICK_S: Final = 0.5
_COUNTS: Final = {name: {"sent": 1, "received": 2, "lost": 0} for name in ("control", "command", "state")}


def ids_for(topology: Topology) -> dict[str, bytes]:
    return {name: bytes([number]) * 16 for number, name in enumerate(topology.nodes, 1)}


class FakeNodes:
    """All nodes of a topology; a link is up when both of its ends live."""

    def __init__(self, topology: Topology) -> None:
        self.began_s: defaultdict[str, list[float]] = defaultdict(list)
        """Name -> when it has begun."""
        self.alone: set[str] = set()
        """Nodes that make no links from now on."""
        self.ends: dict[str, Callable[[], End | None]] = {}
        """Name -> asked whether the node ends by itself, as soon as it has begun."""
        self._topology = topology
        self._prints = {name: fingerprint_text(key_id) for name, key_id in ids_for(topology).items()}
        self._lives: dict[str, Life] = {}

    def say(self, name: str, note: Note) -> None:
        """Let a node say something."""
        self._lives[name].say(note)

    async def live(self, life: Life) -> End:
        name = life.name
        self.began_s[name].append(trio.current_time())
        life.began(4_000 + len(self.began_s[name]))
        end = self.ends.get(name, lambda: None)()
        if end is not None:
            return end
        self._lives[name] = life
        for link in self._links(name):
            self._change(link, up=True)
        try:
            with trio.CancelScope() as scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._tick, name)
                    await life.kill.wait()
                    scope.cancel()
        finally:
            links = self._links(name)
            del self._lives[name]
            for link in links:
                self._change(link, up=False)
        return End("killed by signal 9", by_itself=False)

    def _links(self, name: str) -> list[TopologyLink]:
        links = [link for link in links_of(self._topology) if name in {link.maker, link.answerer}]
        others = {link: link.answerer if link.maker == name else link.maker for link in links}
        return [link for link in links if others[link] in self._lives and not self.alone & {name, others[link]}]

    def _change(self, link: TopologyLink, *, up: bool) -> None:
        for one, other in ((link.maker, link.answerer), (link.answerer, link.maker)):
            if one not in self._lives or (link.carrier == "https" and one == link.answerer):
                continue
            peer = self._prints[other]
            note: Note = LinkIsDown(one, link.name, peer, "closed")
            if up:
                note = LinkIsUp(one, "SUITE", peer, 1.0, link.name, link.carrier, "role")
            self.say(one, note)
            if up:
                self.say(one, LinkMeter(one, link.name, _COUNTS, 0, 1.0, 1, peer))

    async def _tick(self, name: str) -> None:
        node, count = self._topology.nodes[name], 0
        while True:
            await trio.sleep(_TICK_S)
            count += 1
            if node.role is Role.CLOUD:
                self.say(name, Live(count))
            for drone in node.drones if node.role is Role.RC else ():
                if drone in self._lives and not self.alone & {name, drone}:
                    self.say(name, DroneSeen(name, self._prints[drone], "holding", 4.0))
