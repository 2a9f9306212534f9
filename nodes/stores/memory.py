"""The stores in memory, for tests, embedding and the demo: nothing survives the process."""

import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from nodes.stores.rules import EPOCH_BYTES, MAX_COUNTER, check_count, check_counter, check_record, merged
from protocols.crypto.keys import StaticKey
from protocols.errors import ConfigError, CounterLostError, KeyExhaustedError
from protocols.link.peers import CounterBlock, PeerRecord


class MemoryKeyStore:
    """Static keys that the caller made (port KeyStore)."""

    def __init__(self, keys: Iterable[StaticKey] = ()) -> None:
        self._keys = {key.dh: key for key in keys}

    async def static_key(self, dh: str) -> StaticKey:
        """Return the key for a DH function, or raise ConfigError."""
        key = self._keys.get(dh)
        if key is None:
            raise ConfigError(f"this node was given no {dh} key")
        return key


class MemoryPeerDirectory:
    """Peers in a dictionary (port PeerDirectory)."""

    def __init__(self, records: Iterable[PeerRecord] = ()) -> None:
        self._records = {check_record(record).key_id: record for record in records}

    async def find(self, key_id: bytes) -> PeerRecord | None:
        """Return the record of a peer, revoked ones too, or None."""
        return self._records.get(key_id)

    async def all(self) -> Sequence[PeerRecord]:
        """Return every record."""
        return tuple(self._records.values())

    async def put(self, record: PeerRecord) -> None:
        """Add or replace a record; under the same pair secret its counter never goes down."""
        self._records[record.key_id] = merged(self._records.get(record.key_id), check_record(record))

    async def remove(self, key_id: bytes) -> None:
        """Forget a device."""
        self._records.pop(key_id, None)

    async def confirm_counters(self, counters: Mapping[bytes, int]) -> None:
        """Raise the highest confirmed counters; unknown peers are passed over."""
        for counter in counters.values():
            check_counter(counter)
        for key_id, counter in counters.items():
            record = self._records.get(key_id)
            if record is not None and counter > record.initiation_counter:
                self._records[key_id] = replace(record, initiation_counter=counter)


@dataclass(slots=True)
class _Line:
    epoch: bytes
    next: int


def _fresh_epoch() -> bytes:
    return secrets.token_bytes(EPOCH_BYTES)


@dataclass(slots=True)
class MemoryCounterStore:
    """Own initiation counters (port CounterStore); they begin as a missing file does, with ``create``."""

    new_epoch: Callable[[], bytes] = _fresh_epoch
    """Where 16 random bytes come from when a new life of the counter begins."""
    _lines: dict[str, _Line] = field(default_factory=dict[str, _Line])

    async def reserve(self, dh: str, count: int, *, create: bool = False) -> CounterBlock:
        """Reserve ``count`` counters of the static key for ``dh``."""
        check_count(count)
        line = self._lines.get(dh)
        if line is None:
            if not create:
                raise CounterLostError(f"the {dh} initiation counter is lost: pair the devices again")
            line = _Line(self.new_epoch(), 1)
        if line.next + count - 1 > MAX_COUNTER:
            raise KeyExhaustedError(f"the {dh} initiation counter is used up: make a new key and pair again")
        self._lines[dh] = _Line(line.epoch, line.next + count)
        return CounterBlock(first=line.next, count=count, epoch=line.epoch)
