"""The drone: remote controllers come to it over the air, mobiles and clouds over relays."""

from nodes.relaying import RemoteResponding
from specs.registry import LinkType, Role


class Drone(RemoteResponding):
    """``async with Drone(stores) as drone: await drone.listen(endpoint); link = await drone.next_link()``."""

    role = Role.DRONE
    serves = LinkType.AIRLINK
    remotes = (LinkType.REMOTE_MOBILE, LinkType.REMOTE_CLOUD)
