"""A station from its configuration file, as ``aerolink node`` runs it, and what is to be done once at its start.

Each role has a module; :mod:`nodes.working.errands` is what needs a person. What all of them have, the control socket
and metrics, is opened here.
"""

from collections.abc import Awaitable, Callable
from typing import Final

from nodes.config import Config
from nodes.looking import open_look
from nodes.stations.notes import Say
from nodes.working.cloud import work_cloud
from nodes.working.drone import work_drone
from nodes.working.errands import ASKS, SHOWS, Errands, through
from nodes.working.mobile import work_mobile
from nodes.working.rc import work_rc
from specs.registry import Role

__all__ = ["ASKS", "SHOWS", "Errands", "through", "work"]

_WORK: Final[dict[Role, Callable[[Config, Errands, Say], Awaitable[None]]]] = {
    Role.DRONE: work_drone,
    Role.RC: work_rc,
    Role.MOBILE: work_mobile,
    Role.CLOUD: work_cloud,
}


async def work(config: Config, errands: Errands, say: Say) -> None:
    """Run the station of a configuration for ever; ConfigError, StorageError and what its errands raise."""
    async with open_look(config, say) as looking:
        await _WORK[config.node.role](config, errands, looking)
