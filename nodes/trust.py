"""What the core asks of the node: who is this, remember him, give me counters (protocols.events; specs, 1.4 and 2.4).

Every answer may be slow; none blocks the loop, and none that fails brings the node down: the handshake that asked is
refused, and the operator is told.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final, TypeVar

import trio

from nodes.ports import CounterStore, KeyStore, PeerDirectory
from nodes.runner import Pump
from nodes.wakeup import Wakeup
from protocols.errors import (
    AerolinkError,
    CounterLostError,
    NotPairedError,
    PolicyError,
    RevokedError,
    StorageError,
)
from protocols.events import Alarm, AlarmKind, PairingStored, PeerConfirmed, PeerIdentified
from protocols.link.client import Client
from protocols.link.peers import PeerRecord, PeerState
from protocols.link.server import ServerMachine

_log: Final = logging.getLogger(__name__)

Approve = Callable[[PeerIdentified], Awaitable[bool]]
"""The user's word on a device that knows the linking code."""
T = TypeVar("T")
_MAX_QUESTIONS: Final = 64
"""Questions to the directory at once: a slow one must not gather tasks."""
_WRITE_AGAIN_S: Final = 10.0
"""Until confirmations that could not be stored are tried again."""


@dataclass(frozen=True, slots=True)
class Stores:
    """The three ports of a node."""

    keys: KeyStore
    """Static keys."""
    peers: PeerDirectory
    """Paired devices."""
    counters: CounterStore
    """Own initiation counters."""


class Trust:
    """Answers the core's questions from the stores."""

    def __init__(self, stores: Stores, alarm: Callable[[Alarm], None]) -> None:
        self._stores = stores
        self._alarm = alarm
        self.approve: Approve | None = None
        self._confirmed: dict[bytes, int] = {}
        self._wakeup = Wakeup()
        self._writing = trio.Lock()
        self._asking = trio.CapacityLimiter(_MAX_QUESTIONS)

    # --- responder ------------------------------------------------------------------------------

    async def identify(self, pump: Pump, event: PeerIdentified) -> None:
        """Accept or reject the peer of a handshake."""
        machine = pump.machine
        assert isinstance(machine, ServerMachine)  # noqa: S101  # only responders ask
        try:
            record = await self._record(event)
            if event.pairing and self.approve is not None and not await self.approve(event):
                raise PolicyError("the user said no")
        except StorageError:
            machine.abandon(event.attempt)  # nobody's fault out there: no refusal, no try
        except PolicyError as refusal:
            machine.reject(event.attempt, refusal, trio.current_time())
        else:
            machine.accept(event.attempt, record, trio.current_time())
        pump.turn()

    async def _record(self, event: PeerIdentified) -> PeerRecord | None:
        try:
            async with self._asking:
                record = await _ask(self._stores.peers.find(event.key_id))
        except CounterLostError as error:
            self._alarm(Alarm(AlarmKind.COUNTER_LOST, str(error)))
            record = None  # pairing heals it; a session is refused below
        except AerolinkError as error:
            self._alarm(Alarm(AlarmKind.STORE_FAILED, str(error)))
            raise StorageError("the directory did not answer") from None
        if record is None and not event.pairing:
            raise NotPairedError("this device is not paired")
        if record is not None and record.state is PeerState.REVOKED and event.pairing:
            raise RevokedError("this device was revoked")  # the user is not asked about it
        unwritten = self._confirmed.get(event.key_id, 0)
        if record is not None and unwritten > record.initiation_counter:
            record = replace(record, initiation_counter=unwritten)  # confirmed, and the store does not know it yet
        return record

    async def store_pairing(self, pump: Pump, event: PairingStored, counter_epoch: bytes) -> PeerRecord:
        """Store a peer as pending, then let the handshake go on; StorageError (with an alarm) when it failed."""
        known = await self._name_of(event.key_id)
        record = PeerRecord(
            key_id=event.key_id,
            public=event.public,
            dh=event.dh,
            role=event.role,
            pair_secret=event.pair_secret,
            state=PeerState.PENDING,
            initiation_counter=event.counter,
            counter_epoch=counter_epoch,
            name=known,
        )
        try:
            async with self._writing:
                await _ask(self._stores.peers.put(record))
        except AerolinkError as error:
            self._alarm(Alarm(AlarmKind.STORE_FAILED, str(error)))
            raise
        self._confirmed.pop(event.key_id, None)  # of an earlier pairing (PR-12)
        machine = pump.machine
        if isinstance(machine, Client | ServerMachine):
            machine.pairing_stored(event.attempt, trio.current_time())
        pump.turn()
        return record

    async def _name_of(self, key_id: bytes) -> str:
        """Return what the user calls a device: pairing again keeps it."""
        try:
            record = await _ask(self._stores.peers.find(key_id))
        except AerolinkError:
            return ""
        return record.name if record is not None else ""

    async def revoke(self, key_id: bytes) -> None:
        """Mark a peer as revoked; NotPairedError, StorageError."""
        async with self._writing:
            records = {record.key_id: record for record in await _ask(self._stores.peers.all())}
            if key_id not in records:
                raise NotPairedError("this device is not known")
            await _ask(self._stores.peers.put(replace(records[key_id], state=PeerState.REVOKED)))

    # --- confirmed peers ------------------------------------------------------------------------

    def confirm(self, event: PeerConfirmed) -> None:
        """Remember a proof of life; :meth:`write_confirmations` stores it (LK-43)."""
        self._confirmed[event.key_id] = max(event.counter, self._confirmed.get(event.key_id, 0))
        self._wakeup.set()

    async def write_confirmations(self) -> None:
        """Store confirmed counters, many peers per write, and commit pending pairings; runs for ever."""
        while True:
            await self._wakeup.wait()
            if not await self.flush():
                self._wakeup.set()
                await trio.sleep(_WRITE_AGAIN_S)

    async def flush(self) -> bool:
        """Store what was confirmed so far; False, with an alarm, when the store failed: then nothing is forgotten."""
        async with self._writing:
            batch = dict(self._confirmed)
            try:
                await self._write(batch)
            except AerolinkError as error:
                self._alarm(Alarm(AlarmKind.STORE_FAILED, str(error)))
                return False
            for key_id, counter in batch.items():
                if self._confirmed.get(key_id) == counter:
                    del self._confirmed[key_id]
            return True

    async def _write(self, batch: Mapping[bytes, int]) -> None:
        counters = {key_id: counter for key_id, counter in batch.items() if counter}
        if counters:
            await _ask(self._stores.peers.confirm_counters(counters))
        for key_id in batch:
            try:
                record = await _ask(self._stores.peers.find(key_id))
            except CounterLostError:
                continue  # it must be paired again anyway
            if record is not None and record.state is PeerState.PENDING:
                with suppress(RevokedError):  # revoked in this moment: it stays so
                    await _ask(self._stores.peers.put(replace(record, state=PeerState.PAIRED)))

    # --- initiator ------------------------------------------------------------------------------

    async def find(self, key_id: bytes) -> PeerRecord | None:
        """Return the record of a peer; StorageError, CounterLostError."""
        return await _ask(self._stores.peers.find(key_id))

    async def give_counters(self, client: Client, dh: str, count: int, peer: PeerRecord | None) -> bytes:
        """Reserve counters and hand them over; return the epoch. CounterLostError, StorageError."""
        block = await _ask(self._stores.counters.reserve(dh, count, create=peer is None))
        if peer is not None and peer.counter_epoch and peer.counter_epoch != block.epoch:
            raise CounterLostError("the initiation counter was lost after this device was paired: pair it again")
        client.add_counters(block, trio.current_time())
        return block.epoch


async def _ask(answer: Awaitable[T]) -> T:
    """Await a store. Whatever a store of the user's raises against its contract is a StorageError to us."""
    try:
        return await answer
    except AerolinkError:
        raise
    except Exception as error:  # the border to foreign code
        _log.debug("a store failed", exc_info=error)
        raise StorageError(f"a store failed: {type(error).__name__}") from error
