"""Keys that live where you want: a key store and a static key of your own.

The suite asks a static key for two things only: its public half, and an agreement with a peer's. So the private half
may stay in a TPM, an HSM or another process. Here a dictionary plays the vault; ``work_in_threads`` keeps a slow one
from holding up the loop.
"""

from dataclasses import dataclass, field

import trio

from nodes import Drone, Endpoint, MemoryCounterStore, MemoryKeyStore, MemoryPeerDirectory, RemoteController, Stores
from protocols.crypto.keys import StaticKey, SystemKeySource
from protocols.errors import ConfigError


@dataclass
class Vault:
    """Stands for the hardware: it gives out handles and answers, never private keys."""

    keys: dict[str, StaticKey] = field(default_factory=dict, repr=False)
    agreements: int = 0


@dataclass
class VaultKey:
    """A handle to a key in the vault: all that the suite sees."""

    vault: Vault = field(repr=False)
    handle: str
    dh: str
    public: bytes

    def exchange(self, peer_public: bytes) -> bytes:
        self.vault.agreements += 1
        return self.vault.keys[self.handle].exchange(peer_public)


@dataclass
class VaultKeyStore:
    """The port ``nodes.ports.KeyStore``."""

    vault: Vault

    async def static_key(self, dh: str) -> StaticKey:
        if dh not in self.vault.keys:
            raise ConfigError(f"the vault has no {dh} key")
        return VaultKey(self.vault, dh, dh, self.vault.keys[dh].public)


async def main() -> None:
    vault = Vault({"P256": SystemKeySource().dh_key("P256")})
    drone_stores = Stores(VaultKeyStore(vault), MemoryPeerDirectory(), MemoryCounterStore())
    rc_keys = MemoryKeyStore([SystemKeySource().dh_key("P256")])
    rc_stores = Stores(rc_keys, MemoryPeerDirectory(), MemoryCounterStore())
    async with Drone(drone_stores, work_in_threads=True) as drone, RemoteController(rc_stores) as rc:
        where = await drone.listen(Endpoint("127.0.0.1", 0))
        peer = await rc.pair(drone.open_pairing(), where)
        link = await rc.connect(peer.key_id, where)
        print(f"link up; the vault made {vault.agreements} agreements and gave out no key")
        await link.close()


trio.run(main)
