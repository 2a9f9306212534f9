"""INTERFACE FIRST: bodies follow. The cloud's certificate authority for devices."""

import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from protocols.enrolment import EnrolmentToken
from specs.certificates import TOKEN_LIFETIME_S


@dataclass(frozen=True, slots=True)
class Enrolled:
    """What a device gets: both DER. (Will stand in protocols/pki.py.)"""

    certificate_der: bytes
    """The device's own certificate."""
    ca_der: bytes
    """The authority's certificate, which issued it."""


@dataclass(frozen=True, slots=True)
class DeviceRecord:
    """A device that was enrolled."""

    device_id: str
    """32 hexadecimal digits."""
    name: str
    """What the operator called it when making its token."""
    enrolled_s: int
    """Unix time of the first enrolment."""
    expires_s: int
    """Unix time at which its newest certificate ends."""
    revoked_s: int | None
    """Unix time of its revocation."""


class DeviceAuthority:
    """Async; files and SQLite in a folder of its own (``<state>/pki``, 0700), off the loop. `now` = unix seconds."""

    @classmethod
    async def open(cls, folder: Path, hosts: Sequence[str], now: float) -> Self:
        """Open, and at the first start make, the authority; ``hosts``: DNS names and IPs of the server certificate."""
        raise NotImplementedError

    async def aclose(self) -> None:
        """Give the folder back."""

    @property
    def ca_der(self) -> bytes:
        """The authority's certificate: public; enrolment listener answers it to GET /v1/ca."""
        raise NotImplementedError

    async def make_token(self, now: float, *, name: str = "", lifetime_s: int = TOKEN_LIFETIME_S) -> EnrolmentToken:
        raise NotImplementedError

    async def enrol(self, token_text: str, csr_der: bytes, now: float, source: bytes = b"") -> Enrolled:
        """POST /v1/enroll. CodeFormatError, MalformedError (-> 400), TokenRefusedError, RevokedError (-> 403),
        TooManyTriesError (-> 429; per source: pass `guards.address.source_key`), StorageError, ClockError (-> 503).
        The same token with the same key gives the same certificate again (a lost answer); any other use is refused.
        """
        raise NotImplementedError

    async def renew(self, certificate_der: bytes, csr_der: bytes, now: float) -> Enrolled:
        """POST .../certificate. The CSR's key must be that of the certificate (the device id stays).

        Errors of `check_peer`, MalformedError, ClockError, StorageError.
        """
        raise NotImplementedError

    async def check_peer(self, certificate_der: bytes, now: float) -> str:
        """For every request: return the device id. RevokedError, CertificateRefusedError (expired, not ours)."""
        raise NotImplementedError

    async def revoke(self, device_id: str, now: float) -> None:
        """Durable before it returns. NotPairedError for an unknown device."""
        raise NotImplementedError

    async def devices(self) -> Sequence[DeviceRecord]:
        raise NotImplementedError

    async def crl(self, now: float) -> bytes:
        """GET /v1/crl: DER."""
        raise NotImplementedError

    def server_context(self) -> ssl.SSLContext:
        """The context of new connections (pass the method itself as HttpsServer's callable). TLS 1.3, client certificate."""
        raise NotImplementedError

    def enrolment_context(self) -> ssl.SSLContext:
        """The enrolment listener's: TLS 1.3, no client certificate."""
        raise NotImplementedError

    async def keep_fresh(self, clock: Callable[[], float]) -> None:
        """Run for ever in the background: renews the server certificate, takes up revocations of `aerolink cloud`."""
        raise NotImplementedError
