"""A node that goes to others: it pairs with the device that shows a code, and makes links to devices it knows."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

import trio

from nodes.config.endpoint import Endpoint
from nodes.link import Link
from nodes.node import Node
from nodes.ports import Carrier, CarrierName
from nodes.runner import Pump
from protocols.errors import (
    AerolinkError,
    LinkTimeoutError,
    NotPairedError,
    PairingClosedError,
    RevokedError,
    SuiteRefusedError,
)
from protocols.events import Alarm, AlarmKind, DownReason, LinkDown, PairingStored
from protocols.guards.address import Address
from protocols.link.client import Client
from protocols.link.config import LinkConfig
from protocols.link.peers import PeerRecord, PeerState
from protocols.pairing import LinkingCode
from specs.registry import LinkType, RefusalCode

_RESERVE_AGAIN_S: Final = 10.0
NO_PAIRING_ANSWER: Final = "no answer: wrong code, or no device in pairing mode"
PAIRING_REFUSED: Final = "the other device refused the pairing: its user said no, or it does not allow this device"
_HINTS: Final = {
    RefusalCode.VERSION: "it speaks another version of the protocol",
    RefusalCode.SUITE: "it does not allow this suite",
    RefusalCode.NOT_ALLOWED: "it does not allow this device: not paired there, or revoked",
    RefusalCode.BUSY: "it has as many links as it may have",
}
_HINT_ERRORS: Final[dict[RefusalCode, type[AerolinkError]]] = {
    RefusalCode.SUITE: SuiteRefusedError,
    RefusalCode.NOT_ALLOWED: NotPairedError,
}


@dataclass(slots=True)
class _Attempt:
    """Somebody waits for a handshake."""

    done: trio.Event
    peer: PeerRecord | None
    dh: str
    epoch: bytes = b""
    link: Link | None = None
    record: PeerRecord | None = None
    down: LinkDown | None = None
    error: AerolinkError | None = None


@dataclass(frozen=True, slots=True)
class Way:
    """How to reach the device at the other end."""

    open: Callable[[], Awaitable[tuple[Carrier, Address | None]]]
    """Gives a carrier, and the address on it (None: a stream); ConfigError, LinkTimeoutError."""
    config: LinkConfig
    """Rules of the link."""
    text: str
    """For people."""


class Initiating(Node):
    """Base of the roles that begin handshakes. ``link = await node.connect(key_id, endpoint)``."""

    makes: LinkType
    """The link type of :meth:`pair` and :meth:`connect` to an endpoint."""

    async def _begin(self) -> None:
        self._attempts: dict[Pump, _Attempt] = {}
        await super()._begin()

    async def pair(self, code: LinkingCode, endpoint: Endpoint, carrier: CarrierName = "udp") -> PeerRecord:
        """Pair with the device that shows ``code``; return what was stored of it.

        LinkTimeoutError when nobody answered, RevokedError, StorageError, ConfigError.
        """
        return await self._pair(code, self._towards(endpoint, carrier))

    async def connect(self, key_id: bytes, endpoint: Endpoint, carrier: CarrierName = "udp") -> Link:
        """Make a link to a paired device.

        NotPairedError or RevokedError without a byte sent; LinkTimeoutError with the peer's hint, if it gave one;
        CounterLostError when the devices must be paired again.
        """
        return await self._connect(key_id, self._towards(endpoint, carrier))

    def _towards(self, endpoint: Endpoint, carrier: CarrierName) -> Way:
        opener = self._network.datagrams_towards if carrier == "udp" else self._stream_towards
        return Way(partial(opener, endpoint), self.config_of(self.makes), str(endpoint))

    async def _stream_towards(self, endpoint: Endpoint) -> tuple[Carrier, None]:
        with trio.move_on_after(self.config.handshake_deadline_s):
            return await self._network.stream_towards(endpoint), None
        raise LinkTimeoutError(f"no answer from {endpoint}")

    async def _pair(self, code: LinkingCode, way: Way) -> PeerRecord:
        attempt = await self._attempt(way, None, code)
        if attempt.record is None:
            raise self._failure(attempt, NO_PAIRING_ANSWER)
        return attempt.record

    async def _connect(self, key_id: bytes, way: Way) -> Link:
        peer = await self._trust.find(key_id)
        if peer is None or peer.state is PeerState.REVOKED:
            self.identity.agreements.drop(key_id)
        if peer is None:
            raise NotPairedError("this device is not paired with us: run `aerolink pair`")
        if peer.state is PeerState.REVOKED or self._trust.is_revoked(key_id):
            raise RevokedError("this device was revoked here; pair it again after lifting the revocation")
        attempt = await self._attempt(way, peer, None)
        if attempt.link is None and self._trust.is_revoked(key_id):
            raise RevokedError("this device was revoked here meanwhile")
        if attempt.link is None:
            raise self._failure(attempt, f"no answer from {way.text}")
        return attempt.link

    async def _attempt(self, way: Way, peer: PeerRecord | None, code: LinkingCode | None) -> _Attempt:
        attempt = _Attempt(trio.Event(), peer, way.config.suites[0].dh)
        carrier, address = await way.open()
        try:
            if peer is not None and self._trust.is_revoked(peer.key_id):
                raise RevokedError("this device was revoked here meanwhile")  # nobody saw this attempt to end it
            client = Client(
                way.config,
                self.identity,
                peer=peer,
                code=code,
                address=address,
                key_source=self._key_source,
                entropy=self._entropy,
            )
            client.start(trio.current_time())
        except BaseException:
            with trio.CancelScope(shield=True):
                await carrier.aclose()
            raise
        pump = self._start(client, carrier)
        self._attempts[pump] = attempt
        pump.turn()
        try:
            await attempt.done.wait()
        except trio.Cancelled:
            client.abort()
            pump.turn()
            raise
        return attempt

    def _failure(self, attempt: _Attempt, silence: str) -> AerolinkError:
        if attempt.error is not None:
            return attempt.error
        if attempt.down and attempt.down.reason is DownReason.REFUSED:
            return PairingClosedError(PAIRING_REFUSED)
        hint = attempt.down.hint if attempt.down else None
        if hint is None:
            return LinkTimeoutError(silence)
        line = f"no link; the other device hints: {_HINTS[hint]}"
        return _HINT_ERRORS.get(hint, LinkTimeoutError)(line)

    # --- from the pump --------------------------------------------------------------------------

    def _on_link(self, pump: Pump, link: Link) -> None:
        super()._on_link(pump, link)
        attempt = self._attempts.get(pump)
        if attempt is not None:
            attempt.link = link
            attempt.done.set()

    def _on_handshake_over(self, pump: Pump, down: LinkDown) -> None:
        super()._on_handshake_over(pump, down)
        attempt = self._attempts.get(pump)
        if attempt is not None:
            attempt.down = down
            attempt.done.set()

    def _on_finished(self, pump: Pump) -> None:
        super()._on_finished(pump)
        attempt = self._attempts.pop(pump, None)
        if attempt is not None:
            attempt.done.set()

    def _on_work_failed(self, pump: Pump, error: AerolinkError) -> None:
        super()._on_work_failed(pump, error)
        attempt = self._attempts.get(pump)
        if attempt is not None:
            attempt.error = error

    async def _give_counters(self, pump: Pump) -> None:
        attempt = self._attempts.get(pump)
        if attempt is None or not isinstance(pump.machine, Client):
            return
        while not pump.finished.is_set():
            try:
                attempt.epoch = await self._trust.give_counters(
                    pump.machine, attempt.dh, self.config.counter_block, attempt.peer
                )
            except AerolinkError as error:
                if attempt.link is None:
                    attempt.error = error
                    pump.machine.abort()
                    break
                # The link lives as long as there are counters for its rekeys: a full disk may have room again.
                self._on_alarm(Alarm(AlarmKind.STORE_FAILED, str(error)))
                await trio.sleep(_RESERVE_AGAIN_S)
            else:
                break
        pump.turn()

    async def _store_pairing(self, pump: Pump, event: PairingStored) -> None:
        attempt = self._attempts.get(pump)
        if attempt is None or not isinstance(pump.machine, Client):
            await super()._store_pairing(pump, event)
            return
        try:
            known = await self._trust.find(event.key_id)
        except AerolinkError:
            known = None  # what is lost of it, this pairing heals
        if known is not None and known.state is PeerState.REVOKED:
            attempt.error = RevokedError("this device was revoked here: lift the revocation before pairing it again")
            pump.machine.abort()
            pump.turn()
            return
        try:
            attempt.record = await self._trust.store_pairing(pump, event, attempt.epoch)
        except AerolinkError as error:
            attempt.error = error
            pump.machine.abort()
            pump.turn()
