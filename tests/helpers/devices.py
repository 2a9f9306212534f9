"""What survives a restart: keys, directory, counter file; and seeds in the place of randomness."""

import hashlib
from collections import deque
from dataclasses import replace
from typing import Final

from protocols.crypto.fingerprint import key_id_of
from protocols.crypto.kem import KEMS, KemKey
from protocols.crypto.keys import SoftwareKey, load_static_key
from protocols.crypto.suites import DEFAULT_SUITE, Suite
from protocols.events import (
    PairingStored,
    PeerConfirmed,
)
from protocols.guards.address import local_address
from protocols.link.config import Identity, LinkConfig
from protocols.link.peers import CounterBlock, PeerRecord, PeerState
from specs.registry import Role

DRONE: Final = local_address("drone", 1)
RC: Final = local_address("rc", 1)
EVE: Final = local_address("eve", 1)


class Drbg:
    """Deterministic entropy: SHAKE-256 over seed and call number. Any length, never the same twice."""

    def __init__(self, seed: str) -> None:
        self._seed = seed.encode()
        self._calls = 0

    def __call__(self, size: int) -> bytes:
        self._calls += 1
        return hashlib.shake_256(self._seed + self._calls.to_bytes(8, "big")).digest(size)


class SeededKeySource:
    """Handshake keys from a seed. An encapsulation draws its own randomness, unless a tape of another run has it."""

    def __init__(self, seed: str, tape: "list[tuple[bytes, bytes]] | None" = None) -> None:
        self._drbg = Drbg(f"keys of {seed}")
        self._replay = deque(tape or ())
        self.tape: list[tuple[bytes, bytes]] = []
        """(shared secret, ciphertext) of each encapsulation: give it to another source to repeat a run."""

    def dh_key(self, dh_name: str) -> SoftwareKey:
        return load_static_key(dh_name, self._drbg(32))

    def kem_key(self, kem_name: str) -> KemKey:
        return KEMS[kem_name].from_seed(self._drbg(64))

    def encapsulate(self, kem_name: str, public: bytes) -> tuple[bytes, bytes]:
        fresh = KEMS[kem_name].encapsulate(public)
        self.tape.append(self._replay.popleft() if self._replay else fresh)
        return self.tape[-1]


class Device:
    """What survives a restart."""

    def __init__(self, role: Role, seed: str) -> None:
        self.role: Final = role
        self.seed: Final = seed
        drbg = Drbg(f"device {seed}")
        self.keys: Final = {dh: load_static_key(dh, drbg(32)) for dh in ("P256", "25519")}
        self.identity: Final = Identity(role, self.keys)
        self.peers: dict[bytes, PeerRecord] = {}
        """Directory, by key id."""
        self.next_counter = 1
        """First counter that the counter file has not reserved."""
        self.counter_epoch = drbg(16)
        self.boots = 0
        self.tape: list[tuple[bytes, bytes]] | None = None
        self.sources: list[SeededKeySource] = []

    def key_id(self, dh: str) -> bytes:
        return key_id_of(dh, self.keys[dh].public)

    def reserve(self, count: int) -> CounterBlock:
        block = CounterBlock(self.next_counter, count, self.counter_epoch)
        self.next_counter += count
        return block

    def store(self, event: PairingStored) -> None:
        self.peers[event.key_id] = PeerRecord(
            event.key_id, event.public, event.dh, event.role, event.pair_secret, PeerState.PENDING, event.counter,
            self.counter_epoch if self.role is Role.RC else b"",
        )  # fmt: skip

    def confirm(self, event: PeerConfirmed) -> None:
        record = self.peers[event.key_id]
        counter = max(record.initiation_counter, event.counter)
        self.peers[event.key_id] = replace(record, state=PeerState.PAIRED, initiation_counter=counter)

    def boot(self) -> tuple[Drbg, SeededKeySource]:
        """Entropy and key source of a new machine: another boot, other randomness."""
        self.boots += 1
        name = f"{self.seed} boot {self.boots}"
        self.sources.append(SeededKeySource(name, self.tape))
        return Drbg(f"entropy of {name}"), self.sources[-1]


def acquaint(rc: Device, drone: Device, dh: str = "P256") -> None:
    """Make two devices paired, as if a pairing and a first session had been."""
    secret = hashlib.sha256(f"pair secret {rc.seed} {drone.seed} {dh}".encode()).digest()
    for mine, other in ((rc, drone), (drone, rc)):
        mine.peers[other.key_id(dh)] = PeerRecord(
            other.key_id(dh), other.keys[dh].public, dh, other.role, secret, PeerState.PAIRED, 0, mine.counter_epoch
        )


def devices(seed: str = "one", *, dh: str | None = "P256") -> tuple[Device, Device]:
    """An RC and a drone; ``dh`` pairs them."""
    rc, drone = Device(Role.RC, f"{seed} rc"), Device(Role.DRONE, f"{seed} drone")
    if dh is not None:
        acquaint(rc, drone, dh)
    return rc, drone


def config(suite: Suite = DEFAULT_SUITE, **changes: object) -> LinkConfig:
    """The default configuration with one suite, and without probes of the path: tests count packets."""
    return replace(LinkConfig(suites=(suite,), probe_max_bytes=0), **changes)  # type: ignore[arg-type]  # checked when it is made
