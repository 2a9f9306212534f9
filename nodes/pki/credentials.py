"""INTERFACE FIRST: bodies follow. A device's credentials towards the cloud."""

import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

from protocols.enrolment import EnrolmentToken


class DeviceCredentials:
    """Files in a folder of its own (``<state>/pki``, 0700), off the loop.

    Enrolment, two connections to the enrolment endpoint:
      1. HttpsClient(endpoint, first_contact_context()): GET /v1/ca -> ca_der (nothing secret is said here)
      2. context = credentials.enrolling_context(token, ca_der)    (refuses a CA that the token does not pin)
         csr = await credentials.request(); POST /v1/enroll(token.text(), csr) -> certificate_der
         await credentials.accept(certificate_der, ca_der, token)
    Later: context = credentials.context(); after each authenticated answer with a time: learn_time(unix_s);
    when renewal_due(): csr = await request(); POST .../certificate; await renewed(certificate_der); take context() anew.
    """

    @classmethod
    async def open(cls, folder: Path, clock: Callable[[], float] = time.time) -> Self:
        """Open (and make) the folder; ConfigError, StorageError."""
        raise NotImplementedError

    async def aclose(self) -> None:
        """Give the folder back."""

    @property
    def is_enrolled(self) -> bool:
        raise NotImplementedError

    @property
    def device_id(self) -> str:
        """32 hexadecimal digits; EnrolmentNeededError."""
        raise NotImplementedError

    async def request(self, *, new_key: bool = False) -> bytes:
        """Return a CSR (DER) for the device's key, which is made if there is none; ``new_key``: after a revocation."""
        raise NotImplementedError

    async def accept(self, certificate_der: bytes, ca_der: bytes, token: EnrolmentToken) -> None:
        """Store what an enrolment gave, durably. CertificateRefusedError: not pinned, not for our key, not valid."""
        raise NotImplementedError

    def renewal_due(self) -> bool:
        """Whether two thirds of the certificate's life have passed."""
        raise NotImplementedError

    async def renewed(self, certificate_der: bytes) -> None:
        """Store a renewed certificate of the same key, durably; CertificateRefusedError."""
        raise NotImplementedError

    async def learn_time(self, unix_s: float) -> None:
        """Note the cloud's time, heard over an authenticated connection."""
        raise NotImplementedError

    def context(self) -> ssl.SSLContext:
        """Return the context of a connection to the cloud. ClockError, EnrolmentNeededError: one line says what to do."""
        raise NotImplementedError

    def enrolling_context(self, token: EnrolmentToken, ca_der: bytes) -> ssl.SSLContext:
        """Return the context of the connection that carries the token. CertificateRefusedError, ClockError."""
        raise NotImplementedError


def first_contact_context() -> ssl.SSLContext:
    """Return a context that trusts anybody: for GET /v1/ca, whose answer the token's fingerprint judges."""
    raise NotImplementedError
