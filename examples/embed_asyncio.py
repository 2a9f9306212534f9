"""A drone and a remote controller in an asyncio program: pair, ask, be answered.

A bridge is a thread in which trio runs. Whoever is cancelled here cancels what runs there, and waits for its end: so
timeouts, task groups and Ctrl-C are asyncio's own.
"""

import asyncio

from nodes import (
    Drone,
    Endpoint,
    MemoryCounterStore,
    MemoryKeyStore,
    MemoryPeerDirectory,
    RemoteController,
    Stores,
)
from nodes.embed import Bridge, open_bridge
from protocols.crypto.keys import SystemKeySource
from protocols.events import CommandReceived, SendCommand


def stores() -> Stores:
    return Stores(MemoryKeyStore([SystemKeySource().dh_key("P256")]), MemoryPeerDirectory(), MemoryCounterStore())


async def serve(bridge: Bridge, drone: Drone) -> None:
    """A task of asyncio that answers what arrives at the drone, until the link is down."""
    link = await bridge.call(drone.next_link)
    async for message in bridge.each(link):
        if isinstance(message, CommandReceived):
            await bridge.call(link.send, SendCommand(message.channel, b"airborne", reply_to=message.id))


async def main() -> None:
    async with (
        open_bridge() as bridge,
        bridge.enter(Drone(stores())) as drone,
        bridge.enter(RemoteController(stores())) as rc,
        asyncio.timeout(10),
        asyncio.TaskGroup() as tasks,
    ):
        tasks.create_task(serve(bridge, drone))
        where = await bridge.call(drone.listen, Endpoint("127.0.0.1", 0))
        code = await bridge.call(drone.open_pairing)  # not asynchronous, but it looks at trio's clock
        peer = await bridge.call(rc.pair, code, where)
        link = await bridge.call(rc.connect, peer.key_id, where)
        answer = await bridge.call(link.request, b"take off")
        print(f"take off: {answer.decode()}")
        await bridge.call(link.close)


asyncio.run(main())
print("closed cleanly")
