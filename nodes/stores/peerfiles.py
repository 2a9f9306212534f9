"""Paired devices as files: ``peers.json``, and ``peer-counters.json`` for what changes with every session.

Two files cannot be replaced in one step. So each pairing has a random name, under which its counter stands in
the second file: a new pairing writes its counter first, beside the old one, and then the record. Whatever a
crash leaves behind, no record ever meets the counter of another pairing. A record without a counter (the
second file is lost or older) has lost it: `find` raises CounterLostError until the devices are paired again,
because without the counter a recorded initiation could be played again.
"""

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from nodes.stores.directory import PrivateDirectory
from nodes.stores.document import Document, hex_bytes, text_of, whole
from nodes.stores.rules import LOST_COUNTER, check_counter, check_record, merged
from nodes.stores.serial import Serial
from protocols.crypto.fingerprint import fingerprint_text
from protocols.errors import CounterLostError
from protocols.link.peers import PeerRecord, PeerState
from specs.registry import Role

PEERS_NAME: Final = "peers.json"
COUNTERS_NAME: Final = "peer-counters.json"


def _new_pairing_name() -> str:
    return secrets.token_hex(8)


@dataclass(frozen=True, slots=True)
class _Entry:
    record: PeerRecord
    """Its counter is LOST_COUNTER while ``lost``."""
    pairing: str
    """The name under which the counter stands in the other file."""
    lost: bool
    """True if the counter is missing there."""


class PeerFiles:
    """The two files, for callers that may block. Not for two threads at a time."""

    def __init__(self, directory: PrivateDirectory, new_pairing_name: Callable[[], str] = _new_pairing_name) -> None:
        self._directory = directory
        self._new_pairing_name = new_pairing_name
        again = "restore it from a backup, or remove it and pair the devices again"
        self._peers = Document(directory, PEERS_NAME, again)
        self._counters = Document(directory, COUNTERS_NAME, "remove it and pair the devices again")
        self._cache: dict[bytes, _Entry] | None = None

    def find(self, key_id: bytes) -> PeerRecord | None:
        """Return a record or None; CounterLostError if it must be paired again (unless it is revoked)."""
        entry = self._entries().get(key_id)
        if entry is None:
            return None
        if entry.lost and entry.record.state is not PeerState.REVOKED:
            name = fingerprint_text(key_id)
            path = self._directory.path / COUNTERS_NAME
            raise CounterLostError(f"{path} does not know device {name} any more: pair the devices again")
        return entry.record

    def all(self) -> Sequence[PeerRecord]:
        """Return every record; one that must be paired again carries LOST_COUNTER."""
        return tuple(entry.record for entry in self._entries().values())

    def put(self, record: PeerRecord) -> None:
        """Add or replace a record, durably. Only a new pair secret brings a new counter."""
        entries = self._entries()
        new = self._entry(entries.get(check_record(record).key_id), record)
        counters = _counters_of(entries)
        if not new.lost and counters.get(new.pairing) != new.record.initiation_counter:
            self._write_counters(counters | {new.pairing: new.record.initiation_counter})
        self._write_peers(entries | {record.key_id: new})

    def confirm_counters(self, counters: Mapping[bytes, int]) -> None:
        """Raise the highest confirmed counters in one durable write, passing over unknown and lost peers."""
        entries = self._entries()
        raised: dict[bytes, _Entry] = {}
        for key_id, counter in counters.items():
            entry = entries.get(key_id)
            if check_counter(counter) and entry and counter > entry.record.initiation_counter:  # never if lost
                record = replace(entry.record, initiation_counter=counter)
                raised[key_id] = replace(entry, record=record)
        if raised:
            entries = entries | raised
            self._write_counters(_counters_of(entries))
            self._remember(entries)

    def remove(self, key_id: bytes) -> None:
        """Forget a device, revoked or not; nothing happens when it is not known."""
        entries = self._entries()
        if key_id in entries:
            self._write_peers({each: entry for each, entry in entries.items() if each != key_id})

    def _entry(self, old: _Entry | None, record: PeerRecord) -> _Entry:
        record = merged(old.record if old else None, record)
        if old is None or old.record.pair_secret != record.pair_secret:
            return _Entry(record, self._new_pairing_name(), lost=False)
        return replace(old, record=record)

    def _entries(self) -> dict[bytes, _Entry]:
        if self._cache is not None:
            return self._cache
        # In this order: a writer in another process writes counters first.
        records = self._peers.read(_decode_peers) or {}
        counters = self._counters.read(_decode_counters) or {}
        entries: dict[bytes, _Entry] = {}
        for pairing, record in records.items():
            counter = counters.get(pairing)
            known = replace(record, initiation_counter=LOST_COUNTER if counter is None else counter)
            entries[record.key_id] = _Entry(known, pairing, lost=counter is None)
        self._remember(entries)
        return entries

    def _remember(self, entries: dict[bytes, _Entry]) -> None:
        # Without the lock another process may write: then every call reads anew.
        self._cache = None if self._directory.read_only else entries

    def _write_counters(self, counters: Mapping[str, int]) -> None:
        self._cache = None  # if the write fails half-way, the disk knows best
        self._counters.write(counters)

    def _write_peers(self, entries: dict[bytes, _Entry]) -> None:
        self._cache = None
        self._peers.write({entry.pairing: _encode_peer(entry.record) for entry in entries.values()})
        self._remember(entries)


class FilePeerDirectory:
    """Port PeerDirectory on the files of a state folder."""

    def __init__(self, files: PeerFiles) -> None:
        self._files = files
        self._serial = Serial()

    async def find(self, key_id: bytes) -> PeerRecord | None:
        """Return the record of a peer or None; CounterLostError if its counter is lost: pair again."""
        return await self._serial.run(partial(self._files.find, key_id))

    async def all(self) -> Sequence[PeerRecord]:
        """Return every record; one that must be paired again carries LOST_COUNTER."""
        return await self._serial.run(self._files.all)

    async def put(self, record: PeerRecord) -> None:
        """Add or replace a record, durably."""
        await self._serial.run(partial(self._files.put, record))

    async def remove(self, key_id: bytes) -> None:
        """Forget a device, durably."""
        await self._serial.run(partial(self._files.remove, key_id))

    async def confirm_counters(self, counters: Mapping[bytes, int]) -> None:
        """Raise the highest confirmed counters in one durable write."""
        await self._serial.run(partial(self._files.confirm_counters, dict(counters)))


def _counters_of(entries: Mapping[bytes, _Entry]) -> dict[str, int]:
    return {entry.pairing: entry.record.initiation_counter for entry in entries.values() if not entry.lost}


def _encode_peer(record: PeerRecord) -> dict[str, object]:
    return {
        "key_id": record.key_id.hex(),
        "public": record.public.hex(),
        "dh": record.dh,
        "role": record.role.name.lower(),
        "pair_secret": record.pair_secret.hex(),
        "state": record.state.value,
        "counter_epoch": record.counter_epoch.hex(),
        "name": record.name,
    }


def _decode_peers(content: dict[str, Any]) -> dict[str, PeerRecord]:
    records = {pairing: _decode_peer(**fields) for pairing, fields in content.items()}
    if len({record.key_id for record in records.values()}) != len(records):
        raise ValueError
    return records


def _decode_peer(**fields: object) -> PeerRecord:
    names = {role.name.lower(): role for role in Role}
    record = PeerRecord(
        key_id=hex_bytes(fields.pop("key_id")),
        public=hex_bytes(fields.pop("public")),
        dh=text_of(fields.pop("dh")),
        role=names[text_of(fields.pop("role"))],
        pair_secret=hex_bytes(fields.pop("pair_secret")),
        state=PeerState(fields.pop("state")),
        initiation_counter=LOST_COUNTER,
        counter_epoch=hex_bytes(fields.pop("counter_epoch")),
        name=text_of(fields.pop("name")),
    )
    if fields:
        raise ValueError
    return check_record(record)


def _decode_counters(content: dict[str, Any]) -> dict[str, int]:
    return {pairing: check_counter(whole(counter)) for pairing, counter in content.items()}
