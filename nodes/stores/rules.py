"""What every store of peers and counters must hold, whether in memory or on disk."""

from dataclasses import replace
from typing import Final

from protocols.crypto.dh import DH_FUNCTIONS
from protocols.crypto.fingerprint import key_id_of
from protocols.errors import RevokedError, UsageError
from protocols.link.peers import PeerRecord, PeerState
from specs.registry import KEY_ID_BYTES, PAIR_SECRET_BYTES

MAX_COUNTER: Final = 2**64 - 1
"""Counters are u64 on the wire."""
LOST_COUNTER: Final = MAX_COUNTER
"""``initiation_counter`` of a record whose counter is lost: no initiation exceeds it, so none is accepted."""
EPOCH_BYTES: Final = 16
MAX_NAME_CHARS: Final = 64


def check_record(record: PeerRecord) -> PeerRecord:
    """Return the record, or raise UsageError: a store never keeps what it could not give back."""
    if record.dh not in DH_FUNCTIONS:
        raise UsageError("the DH function of a peer record is not known here")
    if len(record.key_id) != KEY_ID_BYTES or record.key_id != key_id_of(record.dh, record.public):
        raise UsageError("the key id of a peer record is not that of its public key")
    if len(record.pair_secret) != PAIR_SECRET_BYTES:
        raise UsageError(f"a pair secret has {PAIR_SECRET_BYTES} bytes, not {len(record.pair_secret)}")
    if len(record.counter_epoch) not in {0, EPOCH_BYTES}:
        raise UsageError(f"a counter epoch has {EPOCH_BYTES} bytes, not {len(record.counter_epoch)}")
    check_counter(record.initiation_counter)
    if len(record.name) > MAX_NAME_CHARS or not record.name.isprintable():
        raise UsageError(f"a device name has at most {MAX_NAME_CHARS} printable characters")
    return record


def check_counter(counter: int) -> int:
    """Return a counter that fits the wire, or raise UsageError."""
    if not 0 <= counter <= MAX_COUNTER:
        raise UsageError("an initiation counter is between 0 and 2**64 - 1")
    return counter


def check_count(count: int) -> int:
    """Return how many counters to reserve, or raise UsageError."""
    if count < 1:
        raise UsageError(f"at least one counter is reserved at a time, not {count}")
    return count


def merged(old: PeerRecord | None, new: PeerRecord) -> PeerRecord:
    """Return what replaces ``old``.

    A new pair secret is a new pairing and brings its own counter. Under the same secret the counter never
    goes down: whoever revokes or renames a device must not undo a counter that was confirmed in between.
    RevokedError for anything but a revoked record in the place of one: a revocation is lifted by removing it, and
    never by a pairing or a session that was under way.
    """
    if old is not None and old.state is PeerState.REVOKED and new.state is not PeerState.REVOKED:
        raise RevokedError("this device was revoked: `aerolink keys forget` lifts that, before it is paired again")
    if old is None or old.pair_secret != new.pair_secret:
        return new
    return replace(new, initiation_counter=max(old.initiation_counter, new.initiation_counter))
