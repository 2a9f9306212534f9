"""TLS contexts between devices and their cloud: TLS 1.3 and our own authority, nothing else (KL-60 to KL-66).

OpenSSL reads a certificate with its key from a file. Keys stand in 0600 files of the private folder anyway, so no
other copy is made for it. Making a context reads these files: call these functions off the loop.
"""

import os
import ssl
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from protocols.errors import StorageError
from protocols.pki import CertificateRefusedError, certificate_pem, read_certificate_untrusted

ALPN: Final = "http/1.1"
GROUP: Final = "prime256v1"
"""P-256, in OpenSSL's words."""
CheckPeer = Callable[[bytes], None]
"""Takes the DER of a server's certificate; AerolinkError refuses it."""


def server_context(identity: Path, trust: Path) -> ssl.SSLContext:
    """Return the context of the cloud: every client shows a certificate of our authority that is not revoked.

    ``identity``: PEM of key and server certificate. ``trust``: PEM of the authority's certificate and its list of
    revoked certificates, which must be in force: without it OpenSSL refuses everybody.
    """
    context = _server(identity)
    context.verify_mode = ssl.CERT_REQUIRED
    with _loading(trust):
        context.load_verify_locations(cafile=trust)
    context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
    return context


def enrolment_context(identity: Path) -> ssl.SSLContext:
    """Return the context of the enrolment listener: clients have no certificate yet."""
    return _server(identity)


def client_context(identity: Path, ca_der: bytes, check: CheckPeer) -> ssl.SSLContext:
    """Return the context of an enrolled device; ``identity``: PEM of its key and certificate."""
    context = enrolling_context(ca_der, check)
    with _loading(identity):
        context.load_cert_chain(identity)
    return context


def enrolling_context(ca_der: bytes, check: CheckPeer) -> ssl.SSLContext:
    """Return the context of a device that enrols: it knows the authority, and has no certificate yet."""
    context = _base(ssl.PROTOCOL_TLS_CLIENT)  # checks the server's name, and requires its certificate
    context.hostname_checks_common_name = False
    context.load_verify_locations(cadata=certificate_pem(ca_der).decode("ascii"))
    context.sslobject_class = _checking(check)
    return context


def first_contact_context() -> ssl.SSLContext:
    """Return a context that believes anybody: for ``GET /v1/ca``, whose answer the token's fingerprint judges (KL-34).

    Nothing secret may be said over it.
    """
    context = _base(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _server(identity: Path) -> ssl.SSLContext:
    context = _base(ssl.PROTOCOL_TLS_SERVER)
    with _loading(identity):
        context.load_cert_chain(identity)
    # A resumed session is not asked for its certificate again: who was revoked meanwhile would come back with it.
    context.num_tickets = 0
    context.options |= ssl.OP_NO_TICKET
    return context


@contextmanager
def _loading(path: Path) -> Generator[None]:
    """StorageError for what OpenSSL cannot load: no descriptor is left, the file is gone, or damaged."""
    try:
        yield
    except OSError as error:  # an ssl.SSLError is one
        reason = "it is damaged" if isinstance(error, ssl.SSLError) else os.strerror(error.errno or 0)
        raise StorageError(f"{path} cannot be loaded for TLS: {reason}") from None


def _base(protocol: int) -> ssl.SSLContext:
    # Not create_default_context: it trusts the system's authorities, and writes session keys where SSLKEYLOGFILE says.
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.maximum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols([ALPN])
    # OpenSSL's own list has ffdhe8192, with which a stranger's first few bytes cost a server 100 ms.
    context.set_ecdh_curve(GROUP)
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    return context


def _checking(check: CheckPeer) -> type[ssl.SSLObject]:
    """Return what a client's connections are made of: after OpenSSL has said yes, ``check`` is asked too.

    That is how a certificate that has expired is refused even if the system's clock was set back (KL-51). Nothing is
    sent before: a handshake that does not return has sent no byte of a request.
    """

    class Checked(ssl.SSLObject):
        def do_handshake(self) -> None:
            super().do_handshake()
            der = self.getpeercert(binary_form=True)
            try:
                if der is None:
                    raise CertificateRefusedError("the server has shown no certificate")
                check(der)
            except CertificateRefusedError as error:
                raise ssl.SSLCertVerificationError(str(error)) from error

    return Checked


def check_time_at(now: Callable[[], float]) -> CheckPeer:
    """Return the check that a certificate is valid at ``now()``."""

    def check(der: bytes) -> None:
        read_certificate_untrusted(der).check_time(now())

    return check
