"""What people would carry between the devices of a demo: codes, tokens, addresses, and when to end."""

from collections import defaultdict

import trio

from nodes.stations.notes import Carry


class Mailbox:
    """Of one node: what is carried to it waits until it is asked for."""

    def __init__(self) -> None:
        self._values: dict[str, str] = {}
        self._arrived: defaultdict[str, trio.Event] = defaultdict(trio.Event)

    def put(self, carry: Carry) -> None:
        """Take what was carried here."""
        self._values[carry.what] = carry.value
        self._arrived[carry.what].set()

    async def get(self, what: str) -> str:
        """Return what is called so, as soon as it is here."""
        await self._arrived[what].wait()
        return self._values[what]
