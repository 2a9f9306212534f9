"""Watching running nodes: attached to each, and again when it comes back."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, NoReturn

import trio

from nodes.looking.client import Look, NotRunningError, Sight, look_at, open_sight
from nodes.looking.status import NodeStatus
from protocols.errors import PeerError

_AGAIN_S: Final = 0.5
"""Until a node that is not there is looked for again."""
_ENDED: Final = "has ended"


@dataclass(frozen=True, slots=True)
class Target:
    """A node that is looked at."""

    name: str
    """What it is called until it says so itself."""
    role: str
    """Its role, if it is known."""
    folder: Path
    """Its state folder."""


@dataclass(frozen=True, slots=True)
class Away:
    """A node is not there."""

    why: str
    """In a few words."""


Watched = Sight | Away


async def look_once(target: Target) -> NodeStatus:
    """Return how a node is now; one that cannot say it is not running. ConfigError for what a person must mend."""
    try:
        return await look_at(target.folder)
    except (NotRunningError, PeerError) as error:
        return NodeStatus(target.name, target.role, running=False, why=str(error))


async def look_at_all(targets: list[Target]) -> list[NodeStatus]:
    """Return how several nodes are, at the same time."""
    found: dict[Target, NodeStatus] = {}

    async def look(target: Target) -> None:
        found[target] = await look_once(target)

    async with trio.open_nursery() as nursery:
        for target in targets:
            nursery.start_soon(look, target)
    return told_apart(targets, [found[target] for target in targets])


async def watch(target: Target, take: Callable[[Target, Watched], None]) -> NoReturn:
    """Hand on what a node shows, for as long as we live; ConfigError for what a person must mend."""
    told = ""
    while True:
        try:
            async with open_sight(target.folder) as look:
                await look.ask("monitor")
                told = ""
                await _follow(look, target, take)
            why = _ENDED
        except (NotRunningError, PeerError) as error:
            why = told if told == _ENDED and isinstance(error, NotRunningError) else str(error)
        if why != told:
            take(target, Away(why))
        told = why
        await trio.sleep(_AGAIN_S)


async def _follow(look: Look, target: Target, take: Callable[[Target, Watched], None]) -> None:
    while True:
        sight = await look.next_sight()
        if sight is None:
            return
        take(target, sight)


def told_apart(targets: list[Target], nodes: list[NodeStatus]) -> list[NodeStatus]:
    """Return nodes under names that are different: of those that are called the same, with their folders."""
    names = [node.name for node in nodes]
    return [
        replace(node, name=f"{node.name} ({target.folder})") if names.count(node.name) > 1 else node
        for target, node in zip(targets, nodes, strict=True)
    ]
