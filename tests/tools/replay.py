"""Machines of the link with the keys, indices and counters of a vector: what they send must be the vector's bytes."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from protocols.crypto.fingerprint import key_id_of
from protocols.crypto.keys import FixedKeySource, load_static_key
from protocols.crypto.suites import SUITES
from protocols.events import Event, PairingStored, PeerIdentified, WorkNeeded
from protocols.guards.address import Address, ip_address
from protocols.link.client import Client
from protocols.link.config import Identity, LinkConfig
from protocols.link.listener import Listener
from protocols.link.peers import CounterBlock, PeerRecord, PeerState
from protocols.link.stream_server import StreamServer
from protocols.pairing import LinkingCode, PairingWindow
from specs.registry import Role
from tests.tools.own_vectors import Vector, named

PEER: Final = ip_address("192.0.2.7", 14550)
REKEY_S: Final = 120.0
CONFIG: Final = LinkConfig(keepalive_s=200.0, dead_after_s=400.0, probe_max_bytes=0)


def hexes(vector: Vector, *keys: str) -> list[bytes]:
    """Return the byte strings of some keys."""
    return [bytes.fromhex(vector[key]) for key in keys]


class Entropy:
    """Randomness by size: indices (4 bytes), cookie secrets and salts (32) as given, anything else zeros."""

    def __init__(self, indices: Sequence[int] = (), blocks: Sequence[bytes] = ()) -> None:
        self._values = {4: [index.to_bytes(4, "big") for index in indices], 32: list(blocks)}

    def __call__(self, size: int) -> bytes:
        return self._values[size].pop(0) if size in self._values else bytes(size)


def chain_of(vector: Vector) -> list[Vector]:
    """Return the handshake, after the session that it rekeys if it does."""
    return [named("handshake", vector["session"]), vector] if "session" in vector else [vector]


def key_source(chain: Sequence[Vector], who: str) -> FixedKeySource:
    """Return the ephemeral keys of one side, in order."""
    sides = [vector[who] for vector in chain]
    return FixedKeySource(
        dh=[bytes.fromhex(side["ephemeral_private"]) for side in sides],
        kem=[bytes.fromhex(side["kem_seed"]) for side in sides if "kem_seed" in side],
        encapsulations=[
            (bytes.fromhex(side["kem_shared_secret"]), bytes.fromhex(side["kem_ciphertext"]))
            for side in sides
            if "kem_ciphertext" in side
        ],
    )


def identity(vector: Vector, who: str) -> Identity:
    """Return the static key of one side."""
    suite = SUITES[vector["suite"]]
    static = load_static_key(suite.dh, bytes.fromhex(vector[who]["static_private"]))
    return Identity(Role.RC if who == "initiator" else Role.DRONE, {suite.dh: static})


def peer_record(vector: Vector, who: str) -> PeerRecord:
    """Return what the other side knows of ``who``."""
    dh, public = SUITES[vector["suite"]].dh, bytes.fromhex(vector[who]["static_public"])
    role = Role.RC if who == "initiator" else Role.DRONE
    pair_secret = bytes.fromhex(vector["pair_secret"])
    return PeerRecord(key_id_of(dh, public), public, dh, role, pair_secret, PeerState.PAIRED, 0)


class Party:
    """A machine, and a node that runs its jobs and says yes."""

    def __init__(self, machine: Any, *, stream: bool, trust: PeerRecord | None = None, bytewise: bool = False) -> None:
        self.machine = machine
        self.stream = stream
        self.bytewise = bytewise
        self.trust = trust
        self.now = 0.0
        self.events: list[Event] = []

    def feed(self, packet: bytes, address: Address = PEER) -> list[bytes]:
        """Give the machine a packet; return what it sends."""
        pieces = [packet[at : at + 1] for at in range(len(packet))] if self.bytewise else [packet]
        sent: list[bytes] = []
        for piece in pieces:
            self.machine.receive(piece, self.now, None if self.stream else address)
            sent += self.settle()
        return sent

    def settle(self) -> list[bytes]:
        """Run jobs and answer questions until there are none; return what the machine sends."""
        while (item := self.machine.next_event()) is not None:
            event = item[1]
            if isinstance(event, WorkNeeded):
                event.job.run()
                self.machine.complete(event.job, self.now)
            elif isinstance(event, PeerIdentified):
                self.events.append(event)
                self.machine.accept(event.attempt, None if event.pairing else self.trust, self.now)
            elif isinstance(event, PairingStored):
                self.events.append(event)
                self.machine.pairing_stored(event.attempt, self.now)
            else:
                self.events.append(event)
        return [packet for packet, _ in self.machine.data_to_send(self.now)]

    def seen(self, kind: type[Any]) -> list[Any]:
        """Return the events of a kind."""
        return [event for event in self.events if isinstance(event, kind)]


class Initiating(Party):
    """The initiator of a handshake vector."""

    def __init__(self, vector: Vector, *, stream: bool, bytewise: bool = False, retry: Vector | None = None) -> None:
        """``retry``: the keys and the index of a second attempt."""
        self.chain = chain_of(vector)
        attempts = [*self.chain, {"initiator": retry}] if retry else self.chain
        self.packets = "records" if stream else "datagrams"
        pairing = "linking_code" in vector
        client = Client(
            replace(CONFIG, suites=(SUITES[vector["suite"]],)),
            identity(vector, "initiator"),
            peer=None if pairing else peer_record(vector, "responder"),
            code=LinkingCode(bytes.fromhex(vector["linking_code"])) if pairing else None,
            address=None if stream else PEER,
            key_source=key_source(attempts, "initiator"),
            entropy=Entropy([each["initiator"]["index"] for each in attempts]),
        )
        super().__init__(client, stream=stream, bytewise=bytewise)

    def begin(self) -> list[bytes]:
        """Do all that comes before the handshake, and begin it; return what is sent."""
        *before, last = self.chain
        for vector in before:
            self._start(vector)
            for name in ("response", "answer"):
                self.feed(bytes.fromhex(vector[self.packets][name]))
            self.now = REKEY_S
        return self._start(last)

    def _start(self, vector: Vector) -> list[bytes]:
        if self.now:
            return self.again(vector["initiation_counter"])
        self.machine.start(self.now)
        return self._count(vector["initiation_counter"])

    def again(self, counter: int) -> list[bytes]:
        """Let the deadline pass and give one more counter; return what is sent."""
        self.machine.handle_deadline(self.now)
        return self._count(counter)

    def _count(self, counter: int) -> list[bytes]:
        self.machine.add_counters(CounterBlock(counter, 1, b""), self.now)
        return self.settle()


class Responding(Party):
    """The responder of a handshake vector."""

    def __init__(
        self,
        vector: Vector,
        *,
        stream: bool,
        bytewise: bool = False,
        blocks: Sequence[bytes] = (),
        indices: Sequence[int] = (),
        config: LinkConfig = CONFIG,
        confirmed: int = 0,
        again: int = 1,
    ) -> None:
        """``again``: how many times the keys of the handshake are given; ``confirmed``: the peer's counter."""
        self.chain = chain_of(vector)
        self.packets = "records" if stream else "datagrams"
        sources = [*self.chain[:-1], *self.chain[-1:] * again]
        args: dict[str, Any] = {
            "key_source": key_source(sources, "responder"),
            "entropy": Entropy([*(each["responder"]["index"] for each in self.chain), *indices], blocks),
        }
        settings = replace(config, suites=(SUITES[vector["suite"]],))
        who = identity(vector, "responder")
        server = StreamServer(settings, who, **args, now=0.0) if stream else Listener(settings, who, **args)
        if "linking_code" in vector:
            server.open_pairing(PairingWindow(LinkingCode(bytes.fromhex(vector["linking_code"])), 0.0))
        trust = replace(peer_record(vector, "initiator"), initiation_counter=confirmed)
        super().__init__(server, stream=stream, trust=trust, bytewise=bytewise)

    def begin(self) -> None:
        """Do all that comes before the handshake."""
        for vector in self.chain[:-1]:
            for name in ("initiation", "proof"):
                self.feed(bytes.fromhex(vector[self.packets][name]))
            self.now = REKEY_S


def established(vector: Vector, direction: str, *, stream: bool, bytewise: bool = False) -> Party:
    """Return the receiving end of a direction, with the vector's session up and its first packets exchanged."""
    party: Initiating | Responding
    if direction == "initiator to responder":
        party = Responding(vector, stream=stream, bytewise=bytewise)
        names = ["initiation", "proof"]
    else:
        party = Initiating(vector, stream=stream, bytewise=bytewise)
        names = ["response", "answer"]
    party.begin()
    for name in names:
        party.feed(bytes.fromhex(vector[party.packets][name]))
    return party
