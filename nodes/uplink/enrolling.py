"""How a device gets its first certificate: a one-time token, carried by a person, opens the way.

The token pins the cloud's authority. So the first connection, which trusts anybody, fetches the authority's certificate
and says nothing secret; the second says the token only to a server that this authority has certified. Nothing is stored
before everything has been verified.
"""

import ssl
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Final, Protocol

from nodes.config.endpoint import Endpoint
from nodes.https import HttpsClient
from nodes.pki.credentials import first_contact_context
from nodes.uplink.client import Requester, ask_again
from nodes.uplink.errors import status_error
from protocols.cloud_api import ROUTE_OF, RouteId
from protocols.cloudlink import decode_untrusted, encode
from protocols.enrolment import EnrolmentToken
from protocols.pki.errors import TokenRefusedError
from specs.cloudlink import Enrolment, IssuedCertificate

Connect = Callable[[Endpoint, ssl.SSLContext, str | None], AbstractAsyncContextManager[Requester]]
"""(where, trust, name in the certificate or None for the host of where) -> a client."""
_REFUSED: Final = 403


class EnrollingCredentials(Protocol):
    """What is needed of :class:`nodes.pki.credentials.DeviceCredentials`."""

    async def request(self, *, new_key: bool = False) -> bytes:
        """Return a request for a certificate, DER."""
        ...

    async def accept(self, certificate_der: bytes, ca_der: bytes, token: EnrolmentToken) -> None:
        """Verify and store, durably."""
        ...

    def enrolling_context(self, token: EnrolmentToken, ca_der: bytes) -> ssl.SSLContext:
        """Return what trusts the authority that the token pins."""
        ...


def connect_https(
    endpoint: Endpoint, context: ssl.SSLContext, server_hostname: str | None
) -> AbstractAsyncContextManager[Requester]:
    """Return a client as the system has it."""
    return HttpsClient(endpoint, context, server_hostname)


async def enrol(
    endpoint: Endpoint,
    token_text: str,
    credentials: EnrollingCredentials,
    *,
    server_hostname: str | None = None,
    new_key: bool = False,
    connect: Connect = connect_https,
) -> None:
    """Get a certificate from the enrolment listener at ``endpoint`` and store it.

    ``new_key`` after a revocation: the old key is not taken again. CodeFormatError for a typing mistake, before
    anything is sent; CertificateRefusedError, ClockError, TlsError if this is not the cloud of the token or the clock
    is wrong; TokenRefusedError if the token was used, has expired or is not the cloud's; the client's errors.
    """
    token = EnrolmentToken.parse(token_text)
    row = ROUTE_OF[RouteId.AUTHORITY]
    async with connect(endpoint, first_contact_context(), server_hostname) as client:
        answer = await ask_again(client, row.method, row.path)
    if answer.status != 200:
        raise status_error(answer.status, RouteId.AUTHORITY.value)
    ca_der = answer.body
    context = credentials.enrolling_context(token, ca_der)
    body = encode(Enrolment(token.text(), await credentials.request(new_key=new_key)))
    row = ROUTE_OF[RouteId.ENROL]
    async with connect(endpoint, context, server_hostname) as client:
        answer = await ask_again(client, row.method, row.path, body)  # the same token and key give the same again
    if answer.status == _REFUSED:
        raise TokenRefusedError("the cloud refuses the token: it was used, has expired, or is not this cloud's")
    if answer.status != 200:
        raise status_error(answer.status, RouteId.ENROL.value)
    issued = decode_untrusted(IssuedCertificate, answer.body)
    await credentials.accept(issued.certificate, ca_der, token)
