"""What a station keeps: opened from its state folder (``nodes.stores.statedir`` has the map), closed in any case."""

import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import trio

from nodes.cloud.blobs import FileBlobs
from nodes.cloud.node import CloudStores
from nodes.cloud.sqliterecords import SqliteRecords
from nodes.pki.authority import DeviceAuthority
from nodes.pki.credentials import DeviceCredentials
from nodes.ports import LogStore
from nodes.stations.cloudway import CloudWay
from nodes.stores.logspool import LogSpool
from nodes.stores.spoolrules import SpoolLimits
from nodes.stores.statedir import StateDir
from nodes.trust import Stores
from nodes.uplink.outboxfile import SqliteOutbox

LOGS: Final = "logs"
PKI: Final = "pki"
OUTBOX: Final = "outbox.sqlite"
RECORDS: Final = "cloud.sqlite"
BLOBS: Final = "blobs"
Closer = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Kept:
    """What drone, remote controller and mobile keep."""

    state: StateDir
    """Keys, peers, counters, keys of logs."""
    logs: LogStore
    """Sealed logs in store and forward."""

    @property
    def stores(self) -> Stores:
        """The three ports of a role."""
        return Stores(self.state.keys, self.state.peers, self.state.counters)


@dataclass(frozen=True, slots=True)
class CloudKept:
    """What a cloud keeps."""

    state: StateDir
    """Keys, peers, counters, keys of logs."""
    stores: CloudStores
    """All of it, as the role wants it."""


@asynccontextmanager
async def open_state(folder: Path, *, create: bool = False) -> AsyncGenerator[StateDir]:
    """Open a state folder; ConfigError, StorageError."""
    state = await trio.to_thread.run_sync(partial(StateDir.open, folder, create=create))
    try:
        yield state
    finally:
        await _close(state.close)


@asynccontextmanager
async def open_kept(folder: Path, limits: SpoolLimits, *, create: bool = False) -> AsyncGenerator[Kept]:
    """Open a state folder with its logs; ConfigError, StorageError."""
    async with open_state(folder, create=create) as state:
        logs = await trio.to_thread.run_sync(LogSpool.open, folder / LOGS, limits)
        try:
            yield Kept(state, logs)
        finally:
            await _close(logs.close)


@asynccontextmanager
async def open_way(folder: Path, clock: Callable[[], float] = time.time) -> AsyncGenerator[CloudWay]:
    """Open what a mobile keeps for its cloud; ConfigError, StorageError."""
    credentials = await DeviceCredentials.open(folder / PKI, clock)
    try:
        outbox = await SqliteOutbox.open(folder / OUTBOX)
        try:
            yield CloudWay(credentials, outbox)
        finally:
            with trio.CancelScope(shield=True):
                await outbox.aclose()
    finally:
        with trio.CancelScope(shield=True):
            await credentials.aclose()


@asynccontextmanager
async def open_cloud(
    folder: Path, hosts: tuple[str, ...], clock: Callable[[], float] = time.time, *, create: bool = False
) -> AsyncGenerator[CloudKept]:
    """Open what a cloud keeps; the authority is made at the first start. ConfigError, StorageError."""
    async with open_state(folder, create=create) as state:
        authority = await DeviceAuthority.open(folder / PKI, hosts, clock())
        try:
            records = await SqliteRecords.open(folder / RECORDS)
            try:
                blobs = await FileBlobs.open(folder / BLOBS)
                links = Stores(state.keys, state.peers, state.counters)
                yield CloudKept(state, CloudStores(links, authority, records, blobs, state.cloud_sealing))
            finally:
                with trio.CancelScope(shield=True):
                    await records.aclose()
        finally:
            with trio.CancelScope(shield=True):
                await authority.aclose()


async def _close(close: Closer) -> None:
    with trio.CancelScope(shield=True):
        await trio.to_thread.run_sync(close)
