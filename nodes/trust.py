"""What the core asks of the node: who is this, remember him, give me counters (protocols.events; specs, 1.4 and 2.4).

Every answer may be slow; none blocks the loop, and none that fails brings the node down: the handshake that asked is
refused, and the operator is told. While an answer is on its way the peer may be revoked, or pair anew: such an answer
counts for nothing (LK-45, PR-37), which the *turn* of its key tells.
"""

import logging
from collections import Counter
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
    PairingClosedError,
    PolicyError,
    RevokedError,
    StorageError,
)
from protocols.events import Alarm, AlarmKind, PairingStored, PeerConfirmed, PeerIdentified
from protocols.link.client import Client
from protocols.link.peers import PeerRecord, PeerState
from protocols.link.server import ServerMachine
from protocols.pairing import pair_id_of
from specs.registry import CloseCode, Role

_log: Final = logging.getLogger(__name__)

Approve = Callable[[PeerIdentified], Awaitable[bool]]
"""The user's word on a device that knows the linking code."""
Cut = Callable[[bytes, CloseCode, Pump | None], None]
"""Ends whatever a key has on any machine but this one: handshakes at once, links with this code."""
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


@dataclass(slots=True, eq=False)
class _Revocation:
    """A key that was revoked in this life of the node."""

    stored: bool = False
    """Whether the directory knows: what it says when asked after that is the truth again."""


@dataclass(frozen=True, slots=True)
class _Proof:
    """A proof of life that waits to be written."""

    counter: int
    pair_id: bytes


class Trust:
    """Answers the core's questions from the stores."""

    def __init__(self, stores: Stores, alarm: Callable[[Alarm], None], cut: Cut) -> None:
        self._stores = stores
        self._alarm = alarm
        self._cut = cut
        self.approve: dict[Role, Approve | None] = {}
        """Whom to ask about a device that knows the code, by the role that it pairs in."""
        self._confirmed: dict[bytes, _Proof] = {}
        self._revoked: dict[bytes, _Revocation] = {}
        self._turns: Counter[bytes] = Counter()
        self._withdrawn: set[bytes] = set()
        """Pair ids of pairings that were over before they were stored (PR-38)."""
        self._wakeup = Wakeup()
        self._writing = trio.Lock()
        self._asking = trio.CapacityLimiter(_MAX_QUESTIONS)

    # --- responder ------------------------------------------------------------------------------

    async def identify(self, pump: Pump, event: PeerIdentified) -> None:
        """Accept or reject the peer of a handshake."""
        machine = pump.machine
        assert isinstance(machine, ServerMachine)  # noqa: S101  # only responders ask
        turn = self._turns[event.key_id]
        try:
            record = await self._record(event)
            approve = self.approve.get(event.role) if event.pairing else None
            if approve is not None and not await self._approved(approve, event):
                raise PolicyError("the user said no")
            self._check_unchanged(event.key_id, turn)
        except StorageError:
            machine.abandon(event.attempt)  # nobody's fault out there: no refusal, no try
        except PolicyError as refusal:
            machine.reject(event.attempt, refusal, trio.current_time())
        else:
            machine.accept(event.attempt, record, trio.current_time())
        pump.turn()

    def _check_unchanged(self, key_id: bytes, turn: int) -> None:
        """Refuse what was learnt before a revocation or another pairing (LK-45, PR-37)."""
        if self.is_revoked(key_id):
            raise RevokedError("this device was revoked")
        if self._turns[key_id] != turn:
            raise StorageError("the device was paired anew meanwhile")  # it will ask again

    async def _approved(self, approve: Approve, event: PeerIdentified) -> bool:
        try:
            return await approve(event)
        except PolicyError:
            raise
        except Exception as error:  # the border to foreign code
            _log.debug("the user could not be asked", exc_info=error)
            self._alarm(Alarm(AlarmKind.APPROVE_FAILED, f"a pairing was not decided: {type(error).__name__}"))
            raise StorageError("the user could not be asked") from error

    async def _record(self, event: PeerIdentified) -> PeerRecord | None:
        before = self._confirmed.get(event.key_id)
        try:
            async with self._asking:
                record = await self._find(event.key_id)
        except CounterLostError as error:
            self._alarm(Alarm(AlarmKind.COUNTER_LOST, str(error)))
            record = None  # pairing heals it; a session is refused below
        except AerolinkError as error:
            self._alarm(Alarm(AlarmKind.STORE_FAILED, str(error)))
            raise StorageError("the directory did not answer") from None
        if record is not None and record.state is not PeerState.REVOKED and self._is_withdrawn(record):
            record = None
        if record is None and not event.pairing:
            raise NotPairedError("this device is not paired")
        if record is not None and record.state is PeerState.REVOKED and event.pairing:
            raise RevokedError("this device was revoked")  # the user is not asked about it
        return record and self._with_floor(record, before)

    def _with_floor(self, record: PeerRecord, before: _Proof | None) -> PeerRecord:
        """Raise the counter to what was confirmed and the store did not know yet, when asked or by now."""
        pair_id = pair_id_of(record.pair_secret)
        proofs = (before, self._confirmed.get(record.key_id))
        floor = max((proof.counter for proof in proofs if proof and proof.pair_id == pair_id), default=0)
        return replace(record, initiation_counter=max(floor, record.initiation_counter))

    def _is_withdrawn(self, record: PeerRecord) -> bool:
        return bool(self._withdrawn) and pair_id_of(record.pair_secret) in self._withdrawn

    async def store_pairing(self, pump: Pump, event: PairingStored, counter_epoch: bytes) -> PeerRecord:
        """Store a peer as pending, then let the handshake go on.

        StorageError (with an alarm) or RevokedError when it failed, PairingClosedError when the handshake was over by
        then: nothing has changed.
        """
        machine = pump.machine
        assert isinstance(machine, Client | ServerMachine)  # noqa: S101  # nobody else pairs
        async with self._writing:
            known = await self._known(event.key_id)
            record = PeerRecord(
                key_id=event.key_id,
                public=event.public,
                dh=event.dh,
                role=event.role,
                pair_secret=event.pair_secret,
                state=PeerState.PENDING,
                initiation_counter=event.counter,
                counter_epoch=counter_epoch,
                name=known.name if known is not None else "",
            )
            self._check_wanted(machine, event)
            await self._put_pairing(record)
            try:
                self._check_wanted(machine, event)
            except AerolinkError:
                await self._withdraw(record, known)
                raise
            self._confirmed.pop(event.key_id, None)  # of an earlier pairing (PR-12)
            self._turns[event.key_id] += 1
            machine.pairing_stored(event.attempt, trio.current_time())
            self._cut(event.key_id, CloseCode.REPLACED, pump)
        pump.turn()
        return record

    def _check_wanted(self, machine: Client | ServerMachine, event: PairingStored) -> None:
        """Refuse to store for a device that is revoked, or at the responder for a pairing that is over by now."""
        if self.is_revoked(event.key_id):
            raise RevokedError("this device was revoked meanwhile")
        if isinstance(machine, ServerMachine) and not machine.is_storing(event.attempt, trio.current_time()):
            raise PairingClosedError("the pairing ended before it could be stored")

    async def _put_pairing(self, record: PeerRecord) -> None:
        try:
            await _ask(self._stores.peers.put(record))
        except AerolinkError as error:
            self._alarm(Alarm(AlarmKind.STORE_FAILED, str(error)))
            raise

    async def _withdraw(self, record: PeerRecord, known: PeerRecord | None) -> None:
        """Put back what was there before a pairing that is over; if that fails, nobody gets in with it all the same."""
        self._withdrawn.add(pair_id_of(record.pair_secret))
        try:
            await _ask(self._stores.peers.remove(record.key_id) if known is None else self._stores.peers.put(known))
        except AerolinkError as error:
            self._alarm(Alarm(AlarmKind.STORE_FAILED, str(error)))

    async def _known(self, key_id: bytes) -> PeerRecord | None:
        """Return what there is of a device that pairs."""
        try:
            return await self._find(key_id)
        except CounterLostError:
            return None  # pairing heals it
        except AerolinkError as error:
            self._alarm(Alarm(AlarmKind.STORE_FAILED, str(error)))
            raise

    async def _find(self, key_id: bytes) -> PeerRecord | None:
        """Return what the directory says; who is not revoked there any more is so here neither."""
        mark = self._revoked.get(key_id)
        settled = mark is not None and mark.stored
        record = await _ask(self._stores.peers.find(key_id))
        lifted = record is None or record.state is not PeerState.REVOKED
        if settled and lifted and self._revoked.get(key_id) is mark:
            del self._revoked[key_id]
        return record

    def is_revoked(self, key_id: bytes) -> bool:
        """Whether a key was revoked in this life of the node, as far as no newer word of the directory is known."""
        return key_id in self._revoked

    async def revoke(self, key_id: bytes) -> None:
        """Refuse a peer from this moment on, and mark it as revoked; NotPairedError, StorageError.

        When the store fails, or this is cancelled, the peer is refused all the same until the node ends.
        """
        mark = self._revoked[key_id] = _Revocation()
        self._end(key_id)
        async with self._writing:
            records = {record.key_id: record for record in await _ask(self._stores.peers.all())}
            if key_id not in records:
                if self._revoked.get(key_id) is mark:
                    del self._revoked[key_id]
                raise NotPairedError("this device is not known")
            await _ask(self._stores.peers.put(replace(records[key_id], state=PeerState.REVOKED)))
            mark.stored = True
            self._end(key_id)

    def _end(self, key_id: bytes) -> None:
        self._turns[key_id] += 1
        self._cut(key_id, CloseCode.REVOKED, None)

    # --- confirmed peers ------------------------------------------------------------------------

    def confirm(self, event: PeerConfirmed) -> None:
        """Remember a proof of life; :meth:`write_confirmations` stores it (LK-43)."""
        known = self._confirmed.get(event.key_id)
        older = known.counter if known is not None and known.pair_id == event.pair_id else 0
        self._confirmed[event.key_id] = _Proof(max(event.counter, older), event.pair_id)
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
            for key_id, proof in batch.items():
                if self._confirmed.get(key_id) == proof:
                    del self._confirmed[key_id]
            return True

    async def _write(self, batch: Mapping[bytes, _Proof]) -> None:
        proven = [record for key_id, proof in batch.items() if (record := await self._proven(key_id, proof))]
        counters = {record.key_id: batch[record.key_id].counter for record in proven if batch[record.key_id].counter}
        if counters:
            await _ask(self._stores.peers.confirm_counters(counters))
        for pending in [record for record in proven if record.state is PeerState.PENDING]:
            record = await self._proven(pending.key_id, batch[pending.key_id])  # as the store has it by now
            if record is not None and record.state is PeerState.PENDING:
                with suppress(RevokedError):  # revoked in this moment: it stays so
                    await _ask(self._stores.peers.put(replace(record, state=PeerState.PAIRED)))

    async def _proven(self, key_id: bytes, proof: _Proof) -> PeerRecord | None:
        """Return the record that a proof of life is about: None if the pair secret is another one by now (PR-37)."""
        try:
            record = await self._find(key_id)
        except CounterLostError:
            return None  # it must be paired again anyway
        if record is None or self._is_withdrawn(record) or pair_id_of(record.pair_secret) != proof.pair_id:
            return None
        return record

    # --- initiator ------------------------------------------------------------------------------

    async def find(self, key_id: bytes) -> PeerRecord | None:
        """Return the record of a peer; StorageError, CounterLostError."""
        return await self._find(key_id)

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
