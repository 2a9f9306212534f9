"""Peer records for the tests of the stores."""

from protocols.crypto.dh import X25519Key
from protocols.crypto.fingerprint import key_id_of
from protocols.link.peers import PeerRecord, PeerState
from specs.registry import Role


def make_record(
    number: int = 1,
    *,
    secret: int = 1,
    state: PeerState = PeerState.PAIRED,
    counter: int = 0,
    epoch: bytes = b"",
    name: str = "",
) -> PeerRecord:
    public = X25519Key.from_private_bytes(bytes([number]) * 32).public
    return PeerRecord(
        key_id=key_id_of("25519", public),
        public=public,
        dh="25519",
        role=Role.RC,
        pair_secret=bytes([secret]) * 32,
        state=state,
        initiation_counter=counter,
        counter_epoch=epoch,
        name=name,
    )
