"""The mobile: it goes to a remote controller, through it to the drone, and passes on what drone and cloud say."""

from nodes.relay import RelayForwarder
from nodes.relaying import RemoteInitiating
from specs.registry import LinkType, Role


class Mobile(RemoteInitiating):
    """``async with Mobile(stores) as mobile: link = await mobile.connect(rc_id, endpoint, "tcp")``.

    ``await mobile.connect_over(rc_id, drone_id)`` makes the link to the drone, end to end.
    """

    role = Role.MOBILE
    makes = LinkType.GROUNDLINK
    remote = LinkType.REMOTE_MOBILE

    async def _begin(self) -> None:
        await super()._begin()
        self.relays.forwarder = RelayForwarder(self.relays, self.role)
