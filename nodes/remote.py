"""The remote controller: it pairs with a drone and makes links to it; mobiles pair with it and come to it."""

from nodes.initiating import Initiating
from nodes.responding import Responding
from specs.registry import LinkType, Role


class RemoteController(Initiating, Responding):
    """``async with RemoteController(stores) as rc: link = await rc.connect(key_id, endpoint)``."""

    role = Role.RC
    makes = LinkType.AIRLINK
    serves = LinkType.GROUNDLINK
