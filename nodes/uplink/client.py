"""The cloud's interface as typed calls, one per request of specs/9-cloudlink.md, table 9.2.

Every request may be made twice without harm: batches have sequences, uploads offsets, relayed datagrams counters of
their own. So one that broke off is made once more at once: a connection that was kept may have been gone already.
"""

import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar, cast

from nodes.https import ClientResponse, StatusError
from nodes.uplink.errors import status_error
from protocols.cloud_api import ROUTE_OF, Bytes, RouteId, path_of
from protocols.cloudlink import CloudBody, DownlinkItem, DownlinkReader, decode_untrusted, encode, encode_relay
from protocols.errors import MalformedError, ProtocolViolationError, TruncatedError
from protocols.events import RelayMessage
from specs.cloudlink import (
    CHUNK_HASH_HEADER,
    LABEL,
    Accepted,
    CloudTime,
    DownlinkAck,
    DownlinkMessage,
    Health,
    IssuedCertificate,
    Renewal,
    UploadOpen,
    UploadState,
)

T = TypeVar("T", bound=CloudBody)
Parts = Mapping[str, str | int]
"""What stands in a path where it varies, the device apart."""
CONFLICT: Final = 409
_NO_PARTS: Final[Parts] = {}


class Requester(Protocol):
    """What is needed of :class:`nodes.https.HttpsClient`."""

    async def request(
        self, method: str, path: str, body: bytes = b"", *, headers: Mapping[str, str] | None = None
    ) -> ClientResponse:
        """Ask, and return the answer."""
        ...

    def stream(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Ask, and give the answer piece by piece."""
        ...


class CloudClient:
    """One device's requests over one HTTPS client.

    Each raises what the client raises (ConfigError, TlsError, LinkTimeoutError, TruncatedError, MalformedError,
    ProtocolViolationError), and CloudBusyError, CloudFullError, CloudGoneError,
    CloudDeniedError or CloudRefusedError for a status.
    """

    def __init__(self, requester: Requester, device_id: str) -> None:
        """``device_id``: 32 hexadecimal digits, of the certificate that ``requester`` shows."""
        self._requester = requester
        self._device = device_id

    async def health(self) -> Health:
        """GET health; ProtocolViolationError if it is of another version of the cloudlink."""
        health = await self._ask(RouteId.HEALTH, Health)
        if health.version != LABEL[-1]:
            raise ProtocolViolationError(f"the cloud speaks version {health.version} of the cloudlink, not {LABEL[-1]}")
        return health

    async def time(self) -> CloudTime:
        """GET time: the cloud's clock."""
        return await self._ask(RouteId.TIME, CloudTime)

    async def revocations(self) -> bytes:
        """GET crl: the authority's revocation list, DER."""
        return (await self._answer(RouteId.CRL)).body

    async def telemetry(self, batch: bytes) -> Accepted:
        """POST an encoded TelemetryBatch."""
        return await self._ask(RouteId.TELEMETRY, Accepted, batch)

    async def alarms(self, report: bytes) -> Accepted:
        """POST an encoded AlarmReport."""
        return await self._ask(RouteId.ALARMS, Accepted, report)

    async def open_upload(self, wanted: UploadOpen) -> UploadState:
        """POST uploads: a new upload, or the same as before (CL-20)."""
        return await self._ask(RouteId.UPLOAD_OPEN, UploadState, encode(wanted))

    async def upload_state(self, upload: str) -> UploadState:
        """GET an upload: how far it is."""
        return await self._ask(RouteId.UPLOAD_STATE, UploadState, parts={"upload": upload})

    async def put_chunk(self, upload: str, offset: int, chunk: bytes) -> UploadState:
        """PUT 1 to 1,048,576 bytes; the state says where to go on, after a 409 too (CL-21, CL-24)."""
        headers = {CHUNK_HASH_HEADER: hashlib.sha256(chunk).hexdigest()}
        parts: Parts = {"upload": upload, "offset": offset}
        answer = await self._answer(RouteId.UPLOAD_CHUNK, chunk, parts, headers=headers, also=(CONFLICT,))
        return decode_untrusted(UploadState, answer.body)

    async def finish_upload(self, upload: str) -> UploadState:
        """POST finish: verify it; the state says what became of it, or what is missing (409, CL-25)."""
        answer = await self._answer(RouteId.UPLOAD_FINISH, parts={"upload": upload}, also=(CONFLICT,))
        return decode_untrusted(UploadState, answer.body)

    async def acknowledge_downlink(self, sequence: int) -> bool:
        """POST downlink/ack; False if the cloud never gave this number (409, CL-33)."""
        body = encode(DownlinkAck(sequence))
        return (await self._answer(RouteId.DOWNLINK_ACK, body, also=(CONFLICT,))).status != CONFLICT

    async def relay(self, messages: Sequence[RelayMessage]) -> None:
        """POST 1 to 128 relay messages."""
        await self._answer(RouteId.RELAY, encode_relay(messages))

    async def renew(self, csr: bytes) -> IssuedCertificate:
        """POST certificate: the next one."""
        return await self._ask(RouteId.CERTIFICATE, IssuedCertificate, encode(Renewal(csr)))

    @asynccontextmanager
    async def downlink(self, after: int) -> AsyncGenerator["Downlink"]:
        """GET downlink: what comes after a message, as it comes. StatusError with 409: never given (CL-33)."""
        path = path_of(RouteId.DOWNLINK, device=self._device, after=after)
        opened = False
        try:
            async with self._requester.stream("GET", path) as stream:
                opened = True
                yield Downlink(stream)
        except StatusError as error:
            if opened or error.status in {0, CONFLICT}:
                raise
            raise status_error(error.status, RouteId.DOWNLINK.value) from None

    # --- inside -----------------------------------------------------------------------------------

    async def _ask(self, route: RouteId, kind: type[T], body: bytes = b"", parts: Parts = _NO_PARTS) -> T:
        return decode_untrusted(kind, (await self._answer(route, body, parts)).body)

    async def _answer(
        self,
        route: RouteId,
        body: bytes = b"",
        parts: Parts = _NO_PARTS,
        *,
        headers: Mapping[str, str] | None = None,
        also: tuple[int, ...] = (),
    ) -> ClientResponse:
        row = ROUTE_OF[route]
        path = path_of(route, **{"device": self._device} if row.is_own else {}, **parts)
        answer = await ask_again(self._requester, row.method, path, body, headers)
        if answer.status != 200 and answer.status not in also:
            raise status_error(answer.status, route.value)
        if row.answer is Bytes.NOTHING and answer.status == 200 and answer.body:
            raise MalformedError(f"cloud, {route.value}: an answer where none belongs")
        return answer


async def ask_again(
    requester: Requester, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
) -> ClientResponse:
    """Ask, and once more if it broke off: with a kept connection that is how it shows that it was gone."""
    try:
        return await requester.request(method, path, body, headers=headers)
    except TruncatedError:
        return await requester.request(method, path, body, headers=headers)


@dataclass(frozen=True, slots=True)
class CloudMessage:
    """A durable message of the cloud."""

    sequence: int
    """Counts the messages for this device from 1."""
    message: DownlinkMessage
    """What it says."""


Arrived = CloudMessage | tuple[RelayMessage, ...] | None
"""A message, relay messages, or None: the cloud is there."""


class Downlink:
    """The records of one response, in order."""

    def __init__(self, stream: AsyncIterator[bytes]) -> None:
        self._stream = stream
        self._reader = DownlinkReader()
        self._items: list[DownlinkItem] = []

    async def next(self) -> Arrived:
        """Return the next; TruncatedError when the cloud has ended the response, MalformedError."""
        while not self._items:
            try:
                piece = await anext(self._stream)
            except StopAsyncIteration:
                raise TruncatedError("the cloud has ended the downlink") from None
            self._items = self._reader.receive_untrusted(piece)[::-1]
        return _arrived(self._items.pop())


def _arrived(item: DownlinkItem) -> Arrived:
    if item is None:
        return None
    sequence, message = item[0], item[-1]
    if isinstance(sequence, int) and isinstance(message, DownlinkMessage):
        return CloudMessage(sequence, message)
    return cast("tuple[RelayMessage, ...]", item)
