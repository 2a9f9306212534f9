"""A drone and a remote controller in one program, over UDP on loopback: pair, link, echo your own messages."""

import trio

from nodes import (
    Drone,
    Endpoint,
    Link,
    MemoryCounterStore,
    MemoryKeyStore,
    MemoryPeerDirectory,
    RemoteController,
    Stores,
)
from protocols.crypto.keys import SystemKeySource
from protocols.events import CommandReceived, SendCommand


def stores() -> Stores:
    """Everything in memory; ``StateDir`` keeps it in files."""
    return Stores(MemoryKeyStore([SystemKeySource().dh_key("P256")]), MemoryPeerDirectory(), MemoryCounterStore())


async def echo(link: Link) -> None:
    async for message in link:
        if isinstance(message, CommandReceived):
            link.send_now(SendCommand(message.channel, b"echo: " + message.data, reply_to=message.id))


async def main() -> None:
    async with Drone(stores()) as drone, RemoteController(stores()) as rc, trio.open_nursery() as nursery:
        where = await drone.listen(Endpoint("127.0.0.1", 0))
        code = drone.open_pairing()  # a person carries code.text() from one device to the other
        peer = await rc.pair(code, where)
        link = await rc.connect(peer.key_id, where)
        nursery.start_soon(echo, await drone.next_link())
        print((await link.request(b"hello")).decode())
        print(f"over {link.up.suite}, handshake {link.up.handshake_s * 1000:.1f} ms")
        await link.close()


trio.run(main)
