"""A drone and a remote controller in a synchronous program: pair, ask, be answered.

A portal is a thread in which trio runs. Ctrl-C at any moment ends the calls, then the nodes, then the thread.
"""

from nodes import (
    Drone,
    Endpoint,
    MemoryCounterStore,
    MemoryKeyStore,
    MemoryPeerDirectory,
    RemoteController,
    Stores,
)
from nodes.embed import Portal, open_portal
from protocols.crypto.keys import SystemKeySource
from protocols.events import CommandReceived, SendCommand


def stores() -> Stores:
    return Stores(MemoryKeyStore([SystemKeySource().dh_key("P256")]), MemoryPeerDirectory(), MemoryCounterStore())


async def serve(drone: Drone) -> None:
    """What answers in the background is written in trio: a loop and an await."""
    link = await drone.next_link()
    async for message in link:
        if isinstance(message, CommandReceived):
            await link.send(SendCommand(message.channel, b"airborne", reply_to=message.id))


def fly(portal: Portal) -> None:
    with portal.enter(Drone(stores())) as drone, portal.enter(RemoteController(stores())) as rc:
        where = portal.call(drone.listen, Endpoint("127.0.0.1", 0))
        code = portal.call(drone.open_pairing)  # not asynchronous, but it looks at trio's clock
        peer = portal.call(rc.pair, code, where)
        with portal.start(serve, drone), portal.timeout(10):
            link = portal.call(rc.connect, peer.key_id, where)
            answer = portal.call(link.request, b"take off")
            print(f"take off: {answer.decode()}")
            portal.call(link.close)


with open_portal() as opened:
    fly(opened)
print("closed cleanly")
