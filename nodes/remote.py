"""The remote controller: it goes to a drone, and mobiles come to it; what they say to each other passes unread."""

from nodes.initiating import Initiating
from nodes.relay import RelayForwarder
from nodes.relaying import Relaying
from nodes.responding import Responding
from specs.registry import LinkType, Role


class RemoteController(Relaying, Initiating, Responding):
    """``async with RemoteController(stores) as rc: link = await rc.connect(key_id, endpoint)``."""

    role = Role.RC
    makes = LinkType.AIRLINK
    serves = LinkType.GROUNDLINK

    async def _begin(self) -> None:
        await super()._begin()
        self.relays.forwarder = RelayForwarder(self.relays, self.role)
