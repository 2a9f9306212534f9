"""Sealed logs on their way to the cloud: resumable, in chunks, each log until the cloud has it for good.

What the cloud says about a log decides (specs/9-cloudlink.md, 9.4): `stored` ends it here (acknowledged); `held` means
that the cloud has all of it and waits for the drone's keys, so nothing is left to send, but it is asked about until it
is stored; `refused` sets it aside: it is kept as long as nothing else needs the room (a neighbour that sends forgeries
must not fill the store for good), whoever embeds this is told, and it is asked about once more after a restart.
"""

import logging
import math
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Final

import trio

from nodes.ports import LogEntry, LogState, LogStore
from nodes.uplink.backoff import Backoff
from nodes.uplink.client import CloudClient
from nodes.uplink.errors import CloudBusyError, CloudGoneError, CloudRefusedError
from nodes.wakeup import Wakeup
from protocols.errors import ProtocolViolationError, StorageError, UsageError
from specs.cloudlink import MAX_CHUNK_BYTES, UploadKind, UploadOpen, UploadPhase, UploadReason, UploadState

_log: Final = logging.getLogger(__name__)
_MAX_ROUNDS: Final = 4
"""How often a log is opened in one go: the cloud gives three tries to a wrong hash, and may have removed an upload."""
_MAX_STANDSTILLS: Final = 8
"""Answers in a row that bring an upload no further, before the cloud is taken for broken."""


@dataclass(frozen=True, slots=True)
class UploadProgress:
    """How far a log is."""

    entry: LogEntry
    """Which log."""
    done_bytes: int
    """What is durable at the cloud."""
    size_bytes: int
    """The whole."""


@dataclass(frozen=True, slots=True)
class UploadEnd:
    """What became of a log."""

    entry: LogEntry
    """Which log."""
    phase: UploadPhase
    """STORED, HELD or REFUSED."""
    reason: UploadReason = UploadReason.NONE
    """Of REFUSED: why."""


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """How logs are sent."""

    chunk_bytes: int = 262_144
    """Of one request: what is sent in vain at most when the connection breaks."""
    look_s: float = 5.0
    """How often the store is looked at, unless somebody says that there is something new."""
    held_s: float = 600.0
    """The longest wait between two questions about a log that the cloud holds; the first is ``look_s``, each next one
    twice as long: it may be months until the cloud knows the drone."""

    def __post_init__(self) -> None:
        """Refuse what the cloud would."""
        if not 1 <= self.chunk_bytes <= MAX_CHUNK_BYTES or self.look_s <= 0 or self.held_s <= 0:
            raise UsageError(f"a chunk has 1 to {MAX_CHUNK_BYTES} bytes, and the store is looked at now and then")


class Uploader:
    """Sends what a store has, the oldest first, one log at a time."""

    def __init__(
        self,
        store: LogStore,
        backoff: Callable[[], Backoff],
        on_progress: Callable[[UploadProgress], None],
        on_end: Callable[[UploadEnd], None],
        limits: UploadLimits | None = None,
    ) -> None:
        self._store = store
        self._new_backoff = backoff
        self._on_progress = on_progress
        self._on_end = on_end
        self._limits = limits or UploadLimits()
        self._set_aside: set[bytes] = set()
        self._held: set[bytes] = set()
        self._put_off: dict[bytes, tuple[float, float]] = {}
        """Of logs that the cloud holds: how long each was put off last, and until when."""
        self.news: Final = Wakeup()
        """Set it when the store has a new log."""

    async def run(self, client: CloudClient) -> None:
        """Send logs until the connection breaks: then the client's error passes through."""
        backoff = self._new_backoff()
        self._put_off.clear()  # a cloud that was away may know the drone by now
        while True:
            try:
                for entry in await self._wanted():
                    await self._upload(client, entry)
            except (CloudBusyError, StorageError) as error:
                _log.info("logs wait: %s", error)
                await trio.sleep(backoff.next_s())
                continue
            backoff.reset()
            with trio.move_on_after(self._limits.look_s):
                await self.news.wait()

    async def _wanted(self) -> list[LogEntry]:
        """Return the logs that are not at their end, the oldest first; without those that are put off."""
        now = trio.current_time()
        return [
            entry
            for entry in await self._store.all()
            if (entry.stored or entry.state is LogState.HANDED_OVER)
            and entry.state is not LogState.ACKNOWLEDGED
            and entry.sha256 not in self._set_aside
            and now >= self._put_off.get(entry.sha256, (0.0, -math.inf))[1]
        ]

    async def _upload(self, client: CloudClient, entry: LogEntry) -> None:
        """Bring one log to its end, or as far as the cloud lets it."""
        wanted = UploadOpen(UploadKind.SEALED_LOG, _name(entry), entry.size_bytes, entry.sha256)
        state = await self._open(client, wanted)
        for _ in range(_MAX_ROUNDS):
            if state.phase is not UploadPhase.OPEN:
                break
            try:
                state = await self._send(client, entry, state)
            except CloudGoneError:  # removed meanwhile (CL-29)
                state = await self._open(client, wanted)
            except CloudRefusedError:  # one log that the cloud cannot take ends neither the others nor the connection
                state = replace(state, phase=UploadPhase.REFUSED)
            if state.reason is UploadReason.HASH:
                state = await self._open(client, wanted)
        if state.phase is UploadPhase.OPEN:
            raise CloudBusyError("cloud, an upload: it is gone each time it is sent")
        await self._end(entry, state)

    @staticmethod
    async def _open(client: CloudClient, wanted: UploadOpen) -> UploadState:
        try:
            return await client.open_upload(wanted)
        except CloudRefusedError:  # too large for this cloud: it is not asked again
            return UploadState("", UploadPhase.REFUSED, 0)

    async def _send(self, client: CloudClient, entry: LogEntry, state: UploadState) -> UploadState:
        """Send what is missing, and finish."""
        name, standstills = state.upload, 0
        async with AsyncExitStack() as stack:
            try:
                content = await stack.enter_async_context(self._store.content(entry.sha256))
            except UsageError:  # it was handed over, its room was given away, and now the cloud has it no more
                return replace(state, phase=UploadPhase.REFUSED)
            while state.phase is UploadPhase.OPEN and standstills < _MAX_STANDSTILLS:
                self._on_progress(UploadProgress(entry, state.offset, entry.size_bytes))
                before = state.offset
                if before < entry.size_bytes:
                    chunk = bytes(content[before : before + self._limits.chunk_bytes])
                    state = await client.put_chunk(name, before, chunk)
                else:
                    state = await client.finish_upload(name)
                if state.upload != name or state.offset > entry.size_bytes:
                    raise ProtocolViolationError("the cloud answers for another upload than the one asked about")
                standstills = 0 if state.offset > before else standstills + 1
        if state.phase is UploadPhase.OPEN:
            raise ProtocolViolationError("the cloud takes chunks of an upload and has none of them")
        return state

    def _ask_later(self, sha256: bytes) -> None:
        before_s, _ = self._put_off.get(sha256, (self._limits.look_s / 2, 0.0))
        wait_s = min(2 * before_s, self._limits.held_s)
        self._put_off[sha256] = (wait_s, trio.current_time() + wait_s)

    async def _end(self, entry: LogEntry, state: UploadState) -> None:
        end = UploadEnd(entry, state.phase, state.reason)
        if state.phase is UploadPhase.HELD:
            self._ask_later(entry.sha256)
        else:
            self._put_off.pop(entry.sha256, None)
        if state.phase is UploadPhase.STORED:
            await self._store.mark(entry.sha256, LogState.ACKNOWLEDGED)
        else:
            if entry.state is not LogState.HANDED_OVER:  # the cloud has it, or never will: the room may be used (SL-44)
                await self._store.mark(entry.sha256, LogState.HANDED_OVER)
            if entry.sha256 in self._held and state.phase is UploadPhase.HELD:
                return  # nothing new
            (self._held if state.phase is UploadPhase.HELD else self._set_aside).add(entry.sha256)
        if state.phase is not UploadPhase.REFUSED:
            self._on_progress(UploadProgress(entry, entry.size_bytes, entry.size_bytes))
        self._on_end(end)


def _name(entry: LogEntry) -> str:
    """Return what the log is called at the cloud: what its header claims; who is told must not take it for proven."""
    return f"{entry.drone_id.hex()}-{entry.flight_id.hex()}"
