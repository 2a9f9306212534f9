"""A device's credentials towards the cloud: its key, its certificate, the authority that it believes, and the time.

::

    <state_dir>/pki/        mode 0700, ours
        lock                held by the node
        device-key.pem      the key that the device asks with: made once, kept for every renewal
        device.pem          key, certificate and the authority's certificate: what an enrolment has given
        clock.json          the latest time that the cloud has told

Everything that touches the disk runs in threads. Rules: specs/10-key-life-cycle.md.
"""

import ssl
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final, Self, TypeVar

import trio

from nodes.pki.contexts import check_time_at, client_context, enrolling_context, first_contact_context
from nodes.stores.directory import PrivateDirectory
from nodes.stores.document import Document, whole
from nodes.stores.serial import Serial
from protocols.enrolment import EnrolmentToken, ca_fingerprint
from protocols.errors import ConfigError, KeyFormatError, MalformedError
from protocols.pki import (
    Certificate,
    CertificateKey,
    CertificateRefusedError,
    ClockError,
    EnrolmentNeededError,
    Identity,
    Use,
    check_ca,
    check_issued,
    make_csr,
    read_certificate_untrusted,
    time_text,
)

__all__ = ["DeviceCredentials", "first_contact_context"]

T = TypeVar("T")
KEY_NAME: Final = "device-key.pem"
IDENTITY_NAME: Final = "device.pem"
CLOCK_NAME: Final = "clock.json"
_WRITE_AGAIN_S: Final = 3_600
"""How far the learned time must have moved before it is written again."""


class DeviceCredentials:
    """One per device that speaks with a cloud.

    Enrolment takes two connections to the cloud's enrolment listener:

    1. with :func:`first_contact_context`: ``GET /v1/ca`` gives ``ca_der``. Nothing secret is said here.
    2. with :meth:`enrolling_context`, which refuses an authority that the token does not pin: :meth:`request`, then
       ``POST /v1/enroll`` of token and request, then :meth:`accept`.

    Later: :meth:`context` for each connection; :meth:`learn_time` with what the cloud says; when :meth:`renewal_due`,
    :meth:`request_renewal` and :meth:`renewed`.
    """

    def __init__(self, directory: PrivateDirectory, clock: Callable[[], float]) -> None:
        self._directory = directory
        self._clock = clock
        self._serial = Serial()
        self._identity: Identity | None = None
        self._context: ssl.SSLContext | None = None
        self._learned_s = 0
        self._written_s = 0

    @classmethod
    async def open(cls, folder: Path, clock: Callable[[], float] = time.time) -> Self:
        """Open the folder, and make it if there is none; ConfigError, StorageError."""
        return await trio.to_thread.run_sync(partial(cls._open, folder, clock))

    @classmethod
    def _open(cls, folder: Path, clock: Callable[[], float]) -> Self:
        PrivateDirectory.open(folder.parent, create=True, read_only=True).close()  # a state folder is private too
        credentials = cls(PrivateDirectory.open(folder, create=True), clock)
        try:
            credentials._load()
        except BaseException:
            credentials._directory.close()
            raise
        return credentials

    async def aclose(self) -> None:
        """Give the folder back."""
        with trio.CancelScope(shield=True):
            await self._serial.run(self._directory.close)

    # --- what there is --------------------------------------------------------------------------

    @property
    def is_enrolled(self) -> bool:
        """Whether there is a certificate; it may have expired."""
        return self._identity is not None

    @property
    def certificate(self) -> Certificate:
        """The certificate; EnrolmentNeededError if there is none."""
        return self._enrolled().certificates[0]

    @property
    def device_id(self) -> str:
        """32 hexadecimal digits; EnrolmentNeededError."""
        return self.certificate.device_id

    @property
    def authority_id(self) -> bytes:
        """Which cloud: the fingerprint of its authority, 16 bytes (KL-30); EnrolmentNeededError."""
        return ca_fingerprint(self._enrolled().certificates[1].der)

    def now(self) -> float:
        """Return the Unix time at which certificates are judged (KL-51): the latest of all that is known."""
        known = float(self._learned_s)
        if self._identity is not None:
            known = max(known, float(self.certificate.issued_s))
        return max(self._clock(), known)

    def renewal_due(self) -> bool:
        """Whether two thirds of the certificate's life have passed (KL-40)."""
        return self._identity is not None and self.now() >= self.certificate.renewal_s()

    # --- enrolment ------------------------------------------------------------------------------

    async def request(self, *, new_key: bool = False) -> bytes:
        """Return the request (DER) of an enrolment, for the key of the device, which is made if there is none.

        ``new_key`` makes another one: the only way back for a device that was revoked. Asking again without it gives
        the same key again, so an enrolment whose answer was lost can be repeated with the same token. StorageError.
        """
        return make_csr(await self._serial.run(partial(self._asking_key, make=new_key)))

    def enrolling_context(self, token: EnrolmentToken, ca_der: bytes) -> ssl.SSLContext:
        """Return the context of the connection that carries the token. CertificateRefusedError: another authority."""
        _pinned(token, ca_der)
        return enrolling_context(ca_der, check_time_at(self._clock))

    async def accept(self, certificate_der: bytes, ca_der: bytes, token: EnrolmentToken) -> None:
        """Take what an enrolment has given, durably; only then is the device enrolled, or enrolled anew.

        CertificateRefusedError: another authority, another key, another use. ClockError: our clock does not fit.
        """
        ca = _pinned(token, ca_der)
        await self._serial.run(partial(self._accept, _read(certificate_der), ca))

    def _accept(self, certificate: Certificate, ca: Certificate) -> None:
        key = self._asking_key()
        if certificate.public != key.public:
            raise CertificateRefusedError("the certificate is for another key than the one that was asked with")
        self._check_clock(certificate)
        check_issued(certificate, ca, Use.DEVICE, self._clock())
        # An operator stands behind an enrolment: what a cloud with a wrong clock has taught us ends here (KL-52).
        self._write_clock(certificate.issued_s)
        self._learned_s = certificate.issued_s
        self._store(Identity(key, (certificate, ca)))

    # --- renewal, time --------------------------------------------------------------------------

    async def request_renewal(self) -> bytes:
        """Return the request (DER) of a renewal, for the key of the certificate; EnrolmentNeededError."""
        await trio.lowlevel.checkpoint()
        return make_csr(self._enrolled().key)

    async def renewed(self, certificate_der: bytes) -> None:
        """Take a renewed certificate, durably. CertificateRefusedError: another key, authority or use; an older one."""
        await self._serial.run(partial(self._renewed, _read(certificate_der)))

    def _renewed(self, certificate: Certificate) -> None:
        identity = self._enrolled()
        own, ca = identity.certificates
        if certificate.public != own.public:
            raise CertificateRefusedError("the renewed certificate is for another key")
        if certificate.not_after_s < own.not_after_s:
            raise CertificateRefusedError("the renewed certificate ends before the one that there is")
        check_issued(certificate, ca, Use.DEVICE, self.now())
        self._store(Identity(identity.key, (certificate, ca)))

    async def learn_time(self, unix_s: float) -> None:
        """Note what the cloud says that it is, heard over a connection made with :meth:`context` (KL-52).

        A time at which our own certificate is not valid is not believed: the cloud has just accepted it. StorageError.
        """
        own = self.certificate
        if own.issued_s <= unix_s < own.not_after_s and unix_s > self._learned_s:
            self._learned_s = int(unix_s)
        if self._learned_s >= self._written_s + _WRITE_AGAIN_S:
            await self._serial.run(partial(self._write_clock, self._learned_s))

    # --- connections ----------------------------------------------------------------------------

    def context(self) -> ssl.SSLContext:
        """Return the context of a connection to the cloud.

        EnrolmentNeededError: no certificate, or it has expired. ClockError: the clock is plainly wrong. The line says
        what to do. Drone links use no clock, and go on in both cases.
        """
        own = self.certificate
        self._check_clock(own)
        if self.now() >= own.not_after_s or self._context is None:
            raise EnrolmentNeededError(
                f"the certificate of this device has expired at {time_text(own.not_after_s)}: enrol it again "
                "with a new token (`aerolink cloud token` at the cloud)"
            )
        return self._context

    def _check_clock(self, certificate: Certificate) -> None:
        now = self._clock()
        if now < certificate.not_before_s:
            raise ClockError(
                f"the clock of this device says {time_text(now)}, and its certificate was issued at "
                f"{time_text(certificate.issued_s)}: set the clock (links between drone and controller do not need it)"
            )

    # --- files ----------------------------------------------------------------------------------

    def _enrolled(self) -> Identity:
        if self._identity is None:
            raise EnrolmentNeededError(
                "this device is not enrolled: `aerolink cloud token` at the cloud makes a token for it"
            )
        return self._identity

    def _asking_key(self, *, make: bool = False) -> CertificateKey:
        pem = None if make else self._directory.read(KEY_NAME)
        if pem is not None:
            return _parsed(self._directory.path / KEY_NAME, partial(CertificateKey.from_pem, pem))
        key = CertificateKey.generate()
        self._directory.write(KEY_NAME, key.pem())
        return key

    def _load(self) -> None:
        path = self._directory.path / IDENTITY_NAME
        pem = self._directory.read(IDENTITY_NAME)
        self._learned_s = self._written_s = self._clock_file.read(lambda content: whole(content["learned_s"])) or 0
        if pem is not None:
            self._take(_parsed(path, partial(Identity.parse, pem, 2)))

    def _store(self, identity: Identity) -> None:
        self._directory.write(IDENTITY_NAME, identity.pem())
        self._take(identity)

    def _take(self, identity: Identity) -> None:
        ca_der = identity.certificates[1].der
        self._context = client_context(self._directory.path / IDENTITY_NAME, ca_der, check_time_at(self.now))
        self._identity = identity

    def _write_clock(self, learned_s: int) -> None:
        self._clock_file.write({"learned_s": learned_s})
        self._written_s = learned_s

    @property
    def _clock_file(self) -> Document:
        return Document(self._directory, CLOCK_NAME, "remove it; the time is learned anew")


def _pinned(token: EnrolmentToken, ca_der: bytes) -> Certificate:
    if not token.pins(ca_der):
        raise CertificateRefusedError("this is not the cloud that the token is for")
    ca = _read(ca_der)
    check_ca(ca)
    return ca


def _read(der: bytes) -> Certificate:
    try:
        return read_certificate_untrusted(der)
    except MalformedError as error:
        raise CertificateRefusedError(str(error)) from None


def _parsed(path: Path, parse: Callable[[], T]) -> T:
    try:
        return parse()
    except KeyFormatError as error:
        raise ConfigError(
            f"{path}: {error}; restore it from a backup, or remove it and enrol this device again"
        ) from None
