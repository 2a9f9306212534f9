"""The drone: it listens, pairs remote controllers, and carries their links."""

from nodes.responding import Responding
from specs.registry import LinkType, Role


class Drone(Responding):
    """``async with Drone(stores) as drone: await drone.listen(endpoint); link = await drone.next_link()``."""

    role = Role.DRONE
    serves = LinkType.AIRLINK
