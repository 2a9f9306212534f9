"""Which suites you allow, and what happens to who asks for another: a refusal, never a fallback."""

import trio

from nodes import Drone, Endpoint, MemoryCounterStore, MemoryKeyStore, MemoryPeerDirectory, RemoteController, Stores
from protocols.crypto.keys import SystemKeySource
from protocols.crypto.suites import suite_by_name
from protocols.errors import SuiteRefusedError
from protocols.link.config import LinkConfig

HYBRID = suite_by_name("P256+MLKEM768_AESGCM_SHA256")
CLASSICAL = suite_by_name("P256_AESGCM_SHA256")


async def main() -> None:
    keys = SystemKeySource()
    rc_directory, rc_counters = MemoryPeerDirectory(), MemoryCounterStore()
    rc_stores = Stores(MemoryKeyStore([keys.dh_key("P256")]), rc_directory, rc_counters)
    drone_stores = Stores(MemoryKeyStore([keys.dh_key("P256")]), MemoryPeerDirectory(), MemoryCounterStore())

    only_hybrid = LinkConfig(suites=(HYBRID,), handshake_retry_s=(0.2,))
    classical = LinkConfig(suites=(CLASSICAL,), handshake_retry_s=(0.2,))
    async with Drone(drone_stores, only_hybrid) as drone:
        where = await drone.listen(Endpoint("127.0.0.1", 0))
        async with RemoteController(rc_stores, only_hybrid) as rc:
            peer = await rc.pair(drone.open_pairing(), where)
            link = await rc.connect(peer.key_id, where)
            print(f"allowed: {link.up.suite}")
            await link.close()
        async with RemoteController(rc_stores, classical) as rc:
            try:
                await rc.connect(peer.key_id, where)
            except SuiteRefusedError as refusal:
                print(f"refused: {refusal}")


trio.run(main)
