"""The core without network, tasks or clock: a client and a listener, back to back.

Everything the protocol does happens in ``receive``, ``data_to_send`` and ``next_event``; time is a number, and who the
peer is, is your answer to an event.
"""

import itertools
import secrets

from protocols.crypto.fingerprint import key_id_of
from protocols.crypto.keys import SystemKeySource
from protocols.events import (
    CommandReceived,
    CountersNeeded,
    LinkUp,
    PeerIdentified,
    SendCommand,
    WorkNeeded,
)
from protocols.guards.address import local_address
from protocols.link.client import Client
from protocols.link.config import Identity, LinkConfig
from protocols.link.listener import Listener
from protocols.link.peers import CounterBlock, PeerRecord, PeerState
from specs.registry import ChannelId, Role

keys = SystemKeySource()
drone_key, rc_key = keys.dh_key("P256"), keys.dh_key("P256")
pair_secret = secrets.token_bytes(32)  # pairing would have agreed on it


def record(role: Role, public: bytes) -> PeerRecord:
    return PeerRecord(key_id_of("P256", public), public, "P256", role, pair_secret, PeerState.PAIRED, 0)


blocks = itertools.count(1, 64)  # a real node reserves them on disk before it uses one
RC, DRONE = local_address("rc"), local_address("drone")
config = LinkConfig()
listener = Listener(config, Identity(Role.DRONE, {"P256": drone_key}), key_source=keys, entropy=secrets.token_bytes)
client = Client(
    config,
    Identity(Role.RC, {"P256": rc_key}),
    peer=record(Role.DRONE, drone_key.public),
    address=DRONE,
    key_source=keys,
    entropy=secrets.token_bytes,
)


def answer(machine: Client | Listener, now: float) -> None:
    """Be the node: give counters, do the public-key work, say whom we trust."""
    while (machine_event := machine.next_event()) is not None:
        connection, event = machine_event
        match event:
            case WorkNeeded(job):
                job.run()
                machine.complete(job, now)
            case CountersNeeded() if isinstance(machine, Client):
                machine.add_counters(CounterBlock(first=next(blocks), count=64, epoch=b""), now)
            case PeerIdentified() if isinstance(machine, Listener):
                machine.accept(event.attempt, record(Role.RC, event.public), now)
            case LinkUp() if connection is not None:
                print(f"link up with {event.role.name}: {event.suite}")
            case _:
                pass


def exchange(now: float) -> None:
    """Carry datagrams both ways until nobody has more to say."""
    for _ in range(8):
        answer(client, now)
        for data, _address in client.data_to_send(now):
            listener.receive(data, now, RC)
        answer(listener, now)
        for data, _address in listener.data_to_send(now):
            client.receive(data, now, DRONE)


client.start(now=0.0)
exchange(now=0.0)
link = client.connection
assert link is not None
link.send(SendCommand(ChannelId.COMMAND, b"take off"), now=1.0)
exchange(now=1.0)
for connection in listener.connections():
    while (message := connection.next_message()) is not None:
        assert isinstance(message, CommandReceived)
        print(f"the drone received: {message.data.decode()}")
