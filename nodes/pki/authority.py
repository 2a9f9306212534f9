"""The cloud's certificate authority for devices: enrols, renews, revokes, and says who is at the other end.

Everything that touches the disk runs in threads. ``now`` is Unix time in seconds. Rules: specs/10-key-life-cycle.md.
"""

import contextlib
import logging
import ssl
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, Self

import trio

from nodes.pki.contexts import enrolment_context, server_context
from nodes.pki.folder import AuthorityFolder
from nodes.pki.records import AuthorityRecords, DeviceRecord
from nodes.stores.serial import Serial
from protocols.enrolment import EnrolmentToken
from protocols.errors import AerolinkError, MalformedError
from protocols.guards.ratelimit import SourceLimiter
from protocols.pki import (
    Certificate,
    CertificateRefusedError,
    ClockError,
    Enrolled,
    TooManyTriesError,
    read_certificate_untrusted,
)
from specs.airlink.command import Answer, Result
from specs.certificates import CRL_LIFETIME_S, TOKEN_LIFETIME_S
from specs.remotelink import RevokePeer

__all__ = ["DeviceAuthority", "DeviceRecord", "Enrolled"]

_log: Final = logging.getLogger(__name__)
TRIES_PER_S: Final = 1.0
"""Enrolments that one source may ask for in the long run."""
TRIES_AT_ONCE: Final = 20
LOOK_AGAIN_S: Final = 1.0
"""How often :meth:`DeviceAuthority.keep_fresh` looks for what another process has revoked."""
_LIST_AGAIN_S: Final = CRL_LIFETIME_S / 3


@dataclass(frozen=True, slots=True)
class _Fresh:
    """What new connections meet, and what it was made of."""

    server: ssl.SSLContext
    enrolment: ssl.SSLContext
    certificate: Certificate
    """The server's."""
    crl: bytes
    """DER."""
    made_s: float
    """When the list was made."""
    revocations: int
    """How many devices were revoked then."""


class DeviceAuthority:
    """One per cloud. It has a folder of its own, ``<state_dir>/pki``; :meth:`open` makes what is missing in it."""

    def __init__(self, folder: AuthorityFolder, reader: AuthorityRecords, hosts: Sequence[str], fresh: _Fresh) -> None:
        self._folder = folder
        self._reader = reader
        self._hosts = tuple(hosts)
        self._fresh = fresh
        self._writing = Serial()
        self._reading = Serial()
        self._tries = SourceLimiter(TRIES_PER_S, TRIES_AT_ONCE)

    @classmethod
    async def open(cls, folder: Path, hosts: Sequence[str], now: float) -> Self:
        """Open the folder of an authority; ``hosts`` are DNS names and IP addresses for the server's certificate.

        ConfigError (in use, open to others, a name that is none), StorageError, ClockError: one line says what to do.
        """
        return await trio.to_thread.run_sync(partial(cls._open, folder, hosts, now))

    @classmethod
    def _open(cls, path: Path, hosts: Sequence[str], now: float) -> Self:
        with contextlib.ExitStack() as undo:
            folder = AuthorityFolder.open(path, now)
            undo.callback(folder.close)
            reader = folder.reader()
            undo.callback(reader.close)
            authority = cls(folder, reader, hosts, _made(folder, hosts, now))
            undo.pop_all()
        return authority

    async def aclose(self) -> None:
        """Give the folder back; what is under way ends first."""
        with trio.CancelScope(shield=True):
            await self._reading.run(self._reader.close)
            await self._writing.run(self._folder.close)

    @property
    def ca_der(self) -> bytes:
        """The authority's certificate. Public: the enrolment listener answers it to ``GET /v1/ca`` (KL-34)."""
        return self._folder.authority.certificate.der

    # --- enrolment and renewal ------------------------------------------------------------------

    async def make_token(self, now: float, *, name: str = "", lifetime_s: int = TOKEN_LIFETIME_S) -> EnrolmentToken:
        """Make a token for one device, which will be called ``name``; UsageError, ClockError, StorageError."""
        return await self._writing.run(partial(self._folder.make_token, name, lifetime_s, now))

    async def enrol(self, token_text: str, csr_der: bytes, now: float, source: bytes = b"") -> Enrolled:
        """Let a device in for a token, once (KL-32). ``source``: ``guards.address.source_key`` of who asks.

        TooManyTriesError (429); CodeFormatError, MalformedError (400); TokenRefusedError, RevokedError (403);
        ClockError, StorageError (503). Tell the device the status and nothing more. The same token with the same key
        gives the same certificate again, as the answer may have been lost; two keys never get in with one token.
        """
        if not self._tries.allow(source, now):
            raise TooManyTriesError("too many enrolments from one place: wait a minute")
        token = EnrolmentToken.parse(token_text)
        return await self._writing.run(partial(self._folder.enrol, token, csr_der, now))

    async def renew(self, certificate_der: bytes, csr_der: bytes, now: float) -> Enrolled:
        """Issue a further certificate to the device that shows one; the request is for the same key (KL-41).

        Errors of :meth:`check_peer`; MalformedError (400); TokenRefusedError (another key: 403).
        """
        certificate = _read(certificate_der)
        return await self._writing.run(partial(self._folder.renew, certificate, csr_der, now))

    async def check_peer(self, certificate_der: bytes, now: float) -> str:
        """Return the id of the device that shows this certificate. Ask for every request (KL-64).

        And before each record of a long-lived response: a connection may be older than a revocation. RevokedError,
        CertificateRefusedError (not ours, expired); ClockError, StorageError (503).
        """
        certificate = _read(certificate_der)
        await self._reading.run(partial(self._reader.check, certificate, now))
        return certificate.device_id

    # --- devices --------------------------------------------------------------------------------

    async def devices(self) -> Sequence[DeviceRecord]:
        """Return every device that was enrolled."""
        return await self._reading.run(self._reader.devices)

    async def revoke(self, device_id: str, now: float) -> None:
        """Refuse a device for good: durable, and in force for every handshake and request, when this returns.

        With a clock that was set back no list is issued, and no request accepted either; it is when that is over.
        NotPairedError for a device that was never enrolled.
        """
        await self._writing.run(partial(self._folder.records.revoke, device_id, now))
        with contextlib.suppress(ClockError):  # revoking works whatever the clock says (KL-53)
            await self.refresh(now)

    async def crl(self) -> bytes:
        """Return the DER of the revocation list: public."""
        await trio.lowlevel.checkpoint()
        return self._fresh.crl

    # --- notices to drones ------------------------------------------------------------------------

    async def add_notice(self, drone: bytes, peer: bytes, now: float) -> None:
        """Queue, durably, that a drone is told that a device is revoked, by their key ids (KL-12)."""
        await self._writing.run(partial(self._folder.records.add_notice, drone, peer, now))

    async def waiting_notices(self, drone: bytes) -> Sequence[bytes]:
        """Return the key ids that a drone has still to be told of, the oldest first."""
        notices = await self._reading.run(self._reader.notices)
        return tuple(each.peer for each in notices if each.drone == drone and each.delivered_s is None)

    async def deliver_notices(
        self, drone: bytes, ask: Callable[[RevokePeer], Awaitable[Answer]], clock: Callable[[], float]
    ) -> int:
        """Tell a drone, over its own end-to-end link, what waits for it; return how many it has taken (KL-13).

        ``ask`` sends a request and returns its answer. Only DONE ends a notice: what fails is said again next time.
        """
        done = 0
        for peer in await self.waiting_notices(drone):
            if (await ask(RevokePeer(peer))).result is Result.DONE:
                await self._writing.run(partial(self._folder.records.delivered, drone, peer, clock()))
                done += 1
        return done

    # --- what connections meet ------------------------------------------------------------------

    def server_context(self) -> ssl.SSLContext:
        """Return the context for the next connection: ask for each one, since it changes with revocations."""
        return self._fresh.server

    def enrolment_context(self) -> ssl.SSLContext:
        """Return the context for the next connection of the enrolment listener."""
        return self._fresh.enrolment

    async def refresh(self, now: float) -> None:
        """Take up what was revoked, here or by another process; renew what is due. StorageError, ClockError."""

        def renewed() -> None:
            if _is_stale(self._fresh, self._folder, now):
                self._fresh = _made(self._folder, self._hosts, now)

        await self._writing.run(renewed)

    async def keep_fresh(self, clock: Callable[[], float]) -> None:
        """Refresh every second; runs for ever. What fails is logged once, and tried again."""
        failed = ""
        while True:
            await trio.sleep(LOOK_AGAIN_S)
            try:
                await self.refresh(clock())
                failed = ""
            except AerolinkError as error:
                if str(error) != failed:
                    failed = str(error)
                    _log.warning("certificates could not be refreshed: %s", failed)


def _made(folder: AuthorityFolder, hosts: Sequence[str], now: float) -> _Fresh:
    folder.records.note_issue(now)  # KL-53: before anything is issued
    revocations = folder.records.revocations()  # before the list: what comes in between is seen by the next look
    identity, certificate = folder.server_identity(hosts, now)
    trust, crl = folder.trust(now)
    return _Fresh(server_context(identity, trust), enrolment_context(identity), certificate, crl, now, revocations)


def _is_stale(fresh: _Fresh, folder: AuthorityFolder, now: float) -> bool:
    return (
        folder.records.revocations() != fresh.revocations
        or not fresh.made_s <= now < fresh.made_s + _LIST_AGAIN_S
        or now >= fresh.certificate.renewal_s()
    )


def _read(certificate_der: bytes) -> Certificate:
    try:
        return read_certificate_untrusted(certificate_der)
    except MalformedError as error:
        raise CertificateRefusedError(str(error)) from None
