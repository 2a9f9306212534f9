"""What every role has in common: stores, trust, pumps, links, alarms."""

import logging
import secrets
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import replace
from types import TracebackType
from typing import Final

import trio

from nodes.carriers import SystemNetwork
from nodes.link import Link
from nodes.ports import Carrier, Network
from nodes.runner import Pump
from nodes.service import Service
from nodes.trust import Stores, Trust
from protocols.crypto.fingerprint import key_id_of
from protocols.crypto.keys import KeySource, StaticKey, SystemKeySource
from protocols.errors import AerolinkError, StorageError
from protocols.events import (
    Alarm,
    AlarmKind,
    CountersNeeded,
    DownReason,
    Event,
    Job,
    LinkDown,
    LinkUp,
    PairingStored,
    PeerConfirmed,
    PeerIdentified,
    WorkNeeded,
)
from protocols.link.client import Client
from protocols.link.config import Identity, LinkConfig
from protocols.link.connection import Connection
from protocols.link.machine import Machine, MachineEvent
from protocols.link.server import ServerMachine
from specs.registry import CloseCode, LinkType, Role

_log: Final = logging.getLogger(__name__)
_GOODBYE_S: Final = 1.0
_MAX_ALARMS: Final = 1_000
_MAX_ALARMS_OF_A_KIND: Final = 100
_BY_STRANGERS: Final = frozenset(
    {
        AlarmKind.UNKNOWN_PEER,
        AlarmKind.REVOKED_PEER,
        AlarmKind.ROLE_REFUSED,
        AlarmKind.STALE_COUNTER,
        AlarmKind.HTTPS_REFUSED,
    }
)
"""Whoever knows our public key, or finds the cloud's port, can raise these: they must not roll the others out."""


class Node(Service):
    """Base of the roles. Use as ``async with``; everything it started ends with the block."""

    role: Role

    def __init__(
        self,
        stores: Stores,
        config: LinkConfig | None = None,
        *,
        key_source: KeySource | None = None,
        entropy: Callable[[int], bytes] = secrets.token_bytes,
        work_in_threads: bool = False,
        network: Network | None = None,
    ) -> None:
        """``work_in_threads`` keeps slow keys (a TPM) from holding up the loop; software keys need it not.

        ``network`` is the system's unless another is given (``nodes.testing.network`` has one in memory).
        """
        self.config: Final = config or LinkConfig()
        """Policy and limits."""
        self.alarms: Final[deque[Alarm]] = deque(maxlen=_MAX_ALARMS)
        """What the operator must see, newest last."""
        self.alarms_raised = 0
        """How many have been put there, those that ``alarms`` has forgotten included."""
        self.alarm_counts: Final[Counter[AlarmKind]] = Counter()
        """How many of each kind there were, those that ``alarms`` has no room for included."""
        self.links: Final[dict[Connection, Link]] = {}
        """Links that are up."""
        self.on_revoked: Callable[[bytes], None] | None = None
        """Told of each key id that is revoked, before anything waits; it does not wait, nor raise."""
        self._stores = stores
        self._trust = Trust(stores, self._on_alarm, self._cut)
        self._key_source = key_source or SystemKeySource()
        self._entropy = entropy
        self._threads = work_in_threads
        self._network: Network = network or SystemNetwork()
        self._pumps: set[Pump] = set()
        self._identity: Identity | None = None

    async def _begin(self) -> None:
        keys: dict[str, StaticKey] = {}
        for suite in self.config.suites:
            if suite.dh not in keys:
                keys[suite.dh] = await self._stores.keys.static_key(suite.dh)
        self._identity = Identity(self.role, keys)
        self._start_soon(self._trust.write_confirmations)

    async def _goodbye(self) -> None:
        for connection in tuple(self.links):
            connection.close(CloseCode.GOING_AWAY)
        pumps = tuple(self._pumps)
        for pump in pumps:
            pump.turn()
        with trio.move_on_after(_GOODBYE_S, shield=True):
            async with trio.open_nursery() as nursery:  # a peer that does not read costs the others nothing
                for pump in pumps:
                    nursery.start_soon(pump.flush)
        with trio.move_on_after(_GOODBYE_S, shield=True):
            await self._trust.flush()
        for link in tuple(self.links.values()):  # their pump has ended: who waits for them is told
            link.end(LinkDown(DownReason.CLOSED))
        self.links.clear()

    async def _leave(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await super()._leave(kind, error, trace)
        finally:
            if self._identity is not None:
                self._identity.agreements.close()

    @property
    def identity(self) -> Identity:
        """Role and public keys; RuntimeError outside of the block."""
        if self._identity is None:
            raise RuntimeError(f"use {type(self).__name__} as `async with`")
        return self._identity

    def key_id(self, dh: str | None = None) -> bytes:
        """Return our key id: of the static key for a DH function, or for the first suite of our policy."""
        name = self.config.suites[0].dh if dh is None else dh
        return key_id_of(name, self.identity.key(name).public)

    def config_of(self, link_type: LinkType) -> LinkConfig:
        """Return the node's policy and limits, for one link type."""
        return self.config if link_type is self.config.link_type else replace(self.config, link_type=link_type)

    async def revoke(self, key_id: bytes) -> None:
        """Refuse a device from this moment on, and end its links and handshakes; NotPairedError, StorageError.

        When the store fails the device is refused until the node ends: call it again.
        """
        if self.on_revoked is not None:
            self.on_revoked(key_id)
        await self._trust.revoke(key_id)

    def _cut(self, key_id: bytes, code: CloseCode, spared: Pump | None) -> None:
        """End whatever a key has, on every machine but one: handshakes without a word, links with ``code``."""
        if self._identity is not None:
            self._identity.agreements.drop(key_id)
        reason = DownReason.REPLACED if code is CloseCode.REPLACED else DownReason.CLOSED
        for pump in tuple(self._pumps):
            machine = pump.machine
            for connection in tuple(machine.connections()):
                if connection.key_id == key_id:
                    connection.close(code, reason)
            if pump is spared:
                continue
            if isinstance(machine, ServerMachine):
                machine.drop_peer(key_id)
            elif isinstance(machine, Client) and machine.connection is None and machine.key_id == key_id:
                machine.abort()
            pump.turn()

    # --- pumps and events -----------------------------------------------------------------------

    def _start(self, machine: Machine, carrier: Carrier) -> Pump:
        pump = Pump(machine, carrier, self._on_event)
        self._pumps.add(pump)
        self._start_soon(self._run, pump)
        return pump

    async def _run(self, pump: Pump) -> None:
        try:
            await pump.run()
        finally:
            self._pumps.discard(pump)
            self._on_finished(pump)

    def _on_finished(self, pump: Pump) -> None:
        """A pump has ended."""

    def _on_event(self, pump: Pump, machine_event: MachineEvent) -> None:
        connection, event = machine_event
        if isinstance(event, WorkNeeded):
            self._on_work(pump, event)
        elif isinstance(event, PeerIdentified):
            self._start_soon(self._trust.identify, pump, event)
        elif isinstance(event, PairingStored):
            self._start_soon(self._store_pairing, pump, event)
        elif isinstance(event, CountersNeeded):
            self._start_soon(self._give_counters, pump)
        elif isinstance(event, Alarm):
            self._on_alarm(event)
        elif connection is not None:
            self._on_link_event(pump, connection, event)
        elif isinstance(event, LinkDown):
            self._on_handshake_over(pump, event)

    def _on_link_event(self, pump: Pump, connection: Connection, event: Event) -> None:
        if isinstance(event, LinkUp | PeerConfirmed) and self._trust.is_revoked(connection.key_id):
            connection.close(CloseCode.REVOKED)  # LK-45
        elif isinstance(event, PeerConfirmed):
            self._trust.confirm(event)
        elif isinstance(event, LinkUp):
            link = Link(connection, pump, event)
            self.links[connection] = link
            _log.info("link up: %s", event.suite, extra={"link": connection.key_id.hex()[:8]})
            self._on_link(pump, link)
        elif isinstance(event, LinkDown):
            _log.info("link down: %s", event.reason.value, extra={"link": connection.key_id.hex()[:8]})
            link_down = self.links.pop(connection, None)
            if link_down is not None:
                link_down.end(event)

    def _on_work(self, pump: Pump, event: WorkNeeded) -> None:
        if self._threads:
            self._start_soon(self._work, pump, event)
            return
        self._complete(pump, event, _outcome(event.job))  # who dispatches goes on taking events until there are none

    async def _work(self, pump: Pump, event: WorkNeeded) -> None:
        self._complete(pump, event, await trio.to_thread.run_sync(_outcome, event.job))
        pump.turn()

    def _complete(self, pump: Pump, event: WorkNeeded, error: AerolinkError | None) -> None:
        try:
            pump.machine.complete(event.job, trio.current_time())
        except AerolinkError as own:  # our own key said no: this handshake is over, the node is not
            error = error or own
        if error is not None:
            self._on_work_failed(pump, error)

    def _on_work_failed(self, pump: Pump, error: AerolinkError) -> None:  # noqa: ARG002  # initiators want the pump
        """Our part of a handshake could not be done."""
        self._on_alarm(Alarm(AlarmKind.KEY_FAILED, str(error)))

    async def _store_pairing(self, pump: Pump, event: PairingStored) -> None:
        try:
            await self._trust.store_pairing(pump, event, b"")
        except AerolinkError:  # whoever must know of it does
            if isinstance(pump.machine, ServerMachine):
                pump.machine.abandon(event.attempt)  # and with it the claim on the code (PR-38)
            pump.turn()

    async def _give_counters(self, pump: Pump) -> None:
        """Answer CountersNeeded; only initiators are asked."""

    def _on_link(self, pump: Pump, link: Link) -> None:
        """A link came up."""

    def _on_handshake_over(self, pump: Pump, down: LinkDown) -> None:
        """A handshake ended without a link."""

    def raise_alarm(self, alarm: Alarm) -> None:
        """Tell the operator of something that the application has seen."""
        self._on_alarm(alarm)

    def alarms_after(self, number: int) -> list[Alarm]:
        """Return the alarms behind the first ``number`` of ``alarms_raised``, as far as they are kept."""
        fresh = min(self.alarms_raised - number, len(self.alarms))
        return list(self.alarms)[-fresh:] if fresh > 0 else []

    def _on_alarm(self, alarm: Alarm) -> None:
        self.alarm_counts[alarm.kind] += 1
        if self.alarm_counts[alarm.kind] <= _MAX_ALARMS_OF_A_KIND or alarm.kind not in _BY_STRANGERS:
            self.alarms.append(alarm)
            self.alarms_raised += 1
        _log.warning("alarm: %s", alarm.kind.value, extra={"hostile": True, "alarm": True})


def _outcome(job: Job) -> AerolinkError | None:
    """Run a job; return what a key that is no software of ours raised against its contract."""
    try:
        job.run()
    except Exception as error:  # noqa: BLE001  # the border to foreign code
        _log.debug("a static key failed", exc_info=error)
        return StorageError(f"a static key failed: {type(error).__name__}")
    return None
