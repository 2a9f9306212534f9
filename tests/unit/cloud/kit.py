"""A cloud for tests: stores of both kinds, an authority that believes names, drones that seal flights."""

import hashlib
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar, cast

from nodes.cloud.api import CloudApi
from nodes.cloud.blobs import FileBlobs, MemoryBlobs
from nodes.cloud.events import CloudAlarm, CloudEvent
from nodes.cloud.hop import CloudHop
from nodes.cloud.limits import CloudLimits
from nodes.cloud.memoryrecords import MemoryRecords
from nodes.cloud.ports import CloudBlobs, CloudRecords
from nodes.cloud.sqliterecords import SqliteRecords
from nodes.flight.container import encode_flight
from nodes.flight.source import FlightFrame
from nodes.https import Body, HttpError, Request, Response
from nodes.stores.sealingmemory import MemoryCloudSealing
from nodes.stores.sealingrules import new_signing_keys
from protocols.cloud_api import ROUTE_OF, RouteId, path_of
from protocols.cloudlink import T, decode_untrusted, encode
from protocols.crypto.hpke import HpkeKey
from protocols.errors import RevokedError
from protocols.sealing import LogSealer, SigningKeys, seal_log
from specs.cloudlink import CHUNK_HASH_HEADER, UploadKind, UploadOpen, UploadState

E = TypeVar("E", bound=Any)
KINDS: Final = ("memory", "files")
ONE: Final = "11" * 16
OTHER: Final = "22" * 16
START_S: Final = 1_700_000_000.0


@asynccontextmanager
async def records_of(kind: str, folder: Path) -> AsyncGenerator[CloudRecords]:
    records: CloudRecords
    records = MemoryRecords() if kind == "memory" else await SqliteRecords.open(folder / "cloud.sqlite")
    try:
        yield records
    finally:
        await records.aclose()


async def blobs_of(kind: str, folder: Path) -> CloudBlobs:
    return MemoryBlobs() if kind == "memory" else await FileBlobs.open(folder / "blobs")


@dataclass(frozen=True)
class Certificates:
    """What FakeAuthority issues."""

    certificate_der: bytes
    ca_der: bytes


@dataclass
class FakeAuthority:
    """Its certificates are ``b"device " + id``."""

    revoked: set[str] = field(default_factory=set[str])
    ca_der: bytes = b"the authority"
    checks: int = 0

    async def check_peer(self, certificate_der: bytes, now: float) -> str:
        self.checks += 1
        device = certificate_der.removeprefix(b"device ").decode()
        if device in self.revoked or now < START_S:
            raise RevokedError("revoked")
        return device

    async def renew(self, certificate_der: bytes, csr_der: bytes, now: float) -> Certificates:
        assert now >= START_S
        return Certificates(certificate_der + b" anew for " + csr_der, self.ca_der)

    async def enrol(self, token_text: str, csr_der: bytes, now: float, source: bytes = b"") -> Certificates:
        assert now >= START_S
        assert source
        if token_text != "TOKEN":
            raise RevokedError("no such token")
        return Certificates(b"device of " + csr_der, self.ca_der)

    async def crl(self) -> bytes:
        return b"a list"


@dataclass
class Clock:
    """Seconds since 1970."""

    now_s: float = START_S

    def __call__(self) -> float:
        return self.now_s


def entropy_of() -> Callable[[int], bytes]:
    """Bytes that are new each time, and the same in each run."""
    count = iter(range(1, 1_000))
    return lambda size: hashlib.sha256(str(next(count)).encode()).digest()[:size]


@dataclass
class CloudKit:
    """A cloud, and everything it told."""

    records: CloudRecords
    blobs: CloudBlobs
    sealing: MemoryCloudSealing = field(default_factory=MemoryCloudSealing)
    authority: FakeAuthority = field(default_factory=FakeAuthority)
    clock: Clock = field(default_factory=Clock)
    limits: CloudLimits = field(default_factory=CloudLimits)
    events: list[CloudEvent] = field(default_factory=list[CloudEvent])
    alarms: list[CloudAlarm] = field(default_factory=list[CloudAlarm])
    hops: list[CloudHop] = field(default_factory=list[CloudHop])

    def __post_init__(self) -> None:
        self.api = CloudApi(
            self.records,
            self.blobs,
            self.authority,
            self.sealing,
            clock=self.clock,
            limits=self.limits,
            on_event=self.events.append,
            on_alarm=self.alarms.append,
            on_hop=self.hops.append,
            entropy=entropy_of(),
        )

    def told(self, kind: type[E]) -> list[E]:
        return [each for each in self.events if isinstance(each, kind)]

    async def ask(
        self,
        route: RouteId,
        body: bytes = b"",
        *,
        device: str = ONE,
        certificate: str | None = None,
        headers: Mapping[str, str] | None = None,
        parts: Mapping[str, str | int] | None = None,
    ) -> Response:
        """Ask as ``certificate`` (by default: ``device``) for a resource of ``device``; a status is an answer, too."""
        row = ROUTE_OF[route]
        path = path_of(route, **({"device": device} if row.is_own else {}), **(parts or {}))
        shown = b"device " + (certificate or device).encode()
        return await self.request(Request(row.method, path, headers or {}, shown, Body.of(body)))

    async def request(self, request: Request) -> Response:
        try:
            return await self.api.handle(request)
        except HttpError as error:
            return Response(error.status)

    async def open(
        self, data: bytes, kind: UploadKind = UploadKind.FILE, name: str = "file", device: str = ONE
    ) -> Response:
        ask = UploadOpen(kind, name, len(data), hashlib.sha256(data).digest())
        return await self.ask(RouteId.UPLOAD_OPEN, encode(ask), device=device)

    async def put(
        self, upload: str, offset: int, data: bytes, *, sha256: str | None = None, device: str = ONE
    ) -> Response:
        headers = {CHUNK_HASH_HEADER: sha256 or hashlib.sha256(data).hexdigest()}
        return await self.ask(
            RouteId.UPLOAD_CHUNK, data, headers=headers, device=device, parts={"upload": upload, "offset": offset}
        )

    async def finish(self, upload: str, device: str = ONE) -> Response:
        return await self.ask(RouteId.UPLOAD_FINISH, device=device, parts={"upload": upload})

    async def upload(
        self, data: bytes, kind: UploadKind = UploadKind.FILE, name: str = "file", device: str = ONE
    ) -> UploadState:
        """Upload whole, and return what became of it."""
        state = answer(await self.open(data, kind, name, device), UploadState)
        if state.offset < len(data):
            answer(await self.put(state.upload, state.offset, data[state.offset :], device=device), UploadState)
        return answer(await self.finish(state.upload, device), UploadState)

    def content(self, name: str, size_bytes: int) -> bytes:
        """What a blob holds."""
        with self.blobs.reader(name) as read:
            return read(0, size_bytes)


def answer(response: Response, kind: type[T], status: int = 200) -> T:
    assert response.status == status
    return decode_untrusted(kind, cast("bytes", response.body))


@asynccontextmanager
async def cloud_of(kind: str, folder: Path, limits: CloudLimits | None = None) -> AsyncGenerator[CloudKit]:
    async with AsyncExitStack() as stack:
        records = await stack.enter_async_context(records_of(kind, folder))
        yield CloudKit(records, await blobs_of(kind, folder), limits=limits or CloudLimits())


# --- drones -------------------------------------------------------------------------------------

FLIGHT: Final = encode_flight(
    [FlightFrame(number / 10, bytes([0xFE, 0, number, 0, 0, 0, 0, 0])) for number in range(9)]
)
FRAMES_SHA256: Final = hashlib.sha256(b"".join(bytes([0xFE, 0, number, 0, 0, 0, 0, 0]) for number in range(9))).digest()


@dataclass
class SealingDrone:
    """Seals what it is given."""

    id: bytes = bytes(range(16))
    signing: SigningKeys = field(default_factory=new_signing_keys)

    def seal(self, cloud: HpkeKey, content: bytes = FLIGHT, flight: bytes = b"flight-number-01") -> bytes:
        sealer = LogSealer(
            drone_id=self.id, flight_id=flight, cloud_public=cloud.public, signing=self.signing, entropy=_entropy
        )
        return seal_log(content, sealer)

    async def known_to(self, cloud: CloudKit) -> None:
        await cloud.sealing.pin_drone(self.signing.verifying(self.id))


_entropy: Final = entropy_of()
