"""The cloud's requests as a table, which server and client share (specs/9-cloudlink.md, 9.2). Pure.

A path has no query, no percent signs and no empty parts; a part of it that varies is written in one way only. So
one resource has one path, and what does not match exactly is not there.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from protocols.cloudlink import CloudBody, is_hex
from protocols.errors import PolicyError, UsageError
from specs.certificates import DEVICE_ID_BYTES
from specs.cloudlink import (
    MAX_BODY_BYTES,
    MAX_CHUNK_BYTES,
    MAX_RELAY_BYTES,
    MAX_SEQUENCE,
    Accepted,
    AlarmReport,
    CloudTime,
    DownlinkAck,
    Enrolment,
    Health,
    IssuedCertificate,
    Renewal,
    TelemetryBatch,
    UploadOpen,
    UploadState,
)

_UPLOAD_ID_BYTES: Final = 16
_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)


class Listener(Enum):
    """Where a request may arrive."""

    DEVICES = "devices"
    """TLS with a certificate of this cloud's authority."""
    ENROLMENT = "enrolment"
    """TLS without a certificate of the client."""


class RouteId(Enum):
    """Every request there is."""

    HEALTH = "health"
    TIME = "time"
    CRL = "crl"
    TELEMETRY = "telemetry"
    ALARMS = "alarms"
    UPLOAD_OPEN = "open an upload"
    UPLOAD_STATE = "state of an upload"
    UPLOAD_CHUNK = "piece of an upload"
    UPLOAD_FINISH = "finish an upload"
    DOWNLINK = "downlink"
    DOWNLINK_ACK = "acknowledge the downlink"
    RELAY = "relay"
    CERTIFICATE = "renew the certificate"
    ENROL = "enrol"
    AUTHORITY = "certificate of the authority"


class Bytes(Enum):
    """Bodies that hold no map."""

    NOTHING = "nothing"
    CHUNK = "bytes of the object"
    RELAY_BATCH = "relay batch"
    RECORDS = "records of the downlink, without end"
    DER = "DER"


@dataclass(frozen=True, slots=True)
class Route:
    """A row of the table."""

    id: RouteId
    """Its name."""
    method: str
    """GET, POST or PUT."""
    path: str
    """Parts in braces vary: ``device``, ``upload``, ``offset``, ``after``."""
    request: type[CloudBody] | Bytes
    """What its body is."""
    answer: type[CloudBody] | Bytes
    """What the body of a 200 is."""
    statuses: tuple[int, ...]
    """Statuses that mean something here, beside those that every request may get (``COMMON_STATUSES``)."""
    max_body_bytes: int
    """Of the request."""
    listener: Listener = Listener.DEVICES
    """Where it may arrive."""

    @property
    def is_own(self) -> bool:
        """Whether it is about one device, which must be the one that asks (CL-6)."""
        return "{device}" in self.path


COMMON_STATUSES: Final = (400, 404, 405, 408, 413, 429, 503)
"""Malformed; not there, or not yours; wrong method; body too slow; body too long; too many requests; not now."""
_DEVICE: Final = "/v1/devices/{device}"
_UPLOAD: Final = _DEVICE + "/uploads/{upload}"

ROUTES: Final[tuple[Route, ...]] = (
    Route(RouteId.HEALTH, "GET", "/v1/health", Bytes.NOTHING, Health, (200,), 0),
    Route(RouteId.TIME, "GET", "/v1/time", Bytes.NOTHING, CloudTime, (200,), 0),
    Route(RouteId.CRL, "GET", "/v1/crl", Bytes.NOTHING, Bytes.DER, (200,), 0),
    Route(RouteId.TELEMETRY, "POST", f"{_DEVICE}/telemetry", TelemetryBatch, Accepted, (200, 507), MAX_BODY_BYTES),
    Route(RouteId.ALARMS, "POST", f"{_DEVICE}/alarms", AlarmReport, Accepted, (200, 507), MAX_BODY_BYTES),
    Route(RouteId.UPLOAD_OPEN, "POST", f"{_DEVICE}/uploads", UploadOpen, UploadState, (200, 507), MAX_BODY_BYTES),
    Route(RouteId.UPLOAD_STATE, "GET", _UPLOAD, Bytes.NOTHING, UploadState, (200,), 0),
    Route(RouteId.UPLOAD_FINISH, "POST", f"{_UPLOAD}/finish", Bytes.NOTHING, UploadState, (200, 409, 507), 0),
    Route(
        RouteId.UPLOAD_CHUNK,
        "PUT",
        f"{_UPLOAD}/{{offset}}",
        Bytes.CHUNK,
        UploadState,
        (200, 409, 422, 507),
        MAX_CHUNK_BYTES,
    ),
    Route(
        RouteId.DOWNLINK_ACK, "POST", f"{_DEVICE}/downlink/ack", DownlinkAck, Bytes.NOTHING, (200, 409), MAX_BODY_BYTES
    ),
    Route(RouteId.DOWNLINK, "GET", f"{_DEVICE}/downlink/{{after}}", Bytes.NOTHING, Bytes.RECORDS, (200, 409), 0),
    Route(RouteId.RELAY, "POST", f"{_DEVICE}/relay", Bytes.RELAY_BATCH, Bytes.NOTHING, (200,), MAX_RELAY_BYTES),
    Route(
        RouteId.CERTIFICATE, "POST", f"{_DEVICE}/certificate", Renewal, IssuedCertificate, (200, 403), MAX_BODY_BYTES
    ),
    Route(
        RouteId.ENROL,
        "POST",
        "/v1/enroll",
        Enrolment,
        IssuedCertificate,
        (200, 403),
        MAX_BODY_BYTES,
        Listener.ENROLMENT,
    ),
    Route(RouteId.AUTHORITY, "GET", "/v1/ca", Bytes.NOTHING, Bytes.DER, (200,), 0, Listener.ENROLMENT),
)
"""Every request. The first row that fits counts; words come before parts that vary."""

ROUTE_OF: Final[Mapping[RouteId, Route]] = {route.id: route for route in ROUTES}


class NoSuchPathError(PolicyError):
    """Nothing is at this path."""

    advice = "Look at the address, and compare versions: the client asks for what this cloud does not have."


class WrongMethodError(PolicyError):
    """Something is at this path, for another method."""

    advice = "Compare versions: the client asks in a way that this cloud does not know."


@dataclass(frozen=True, slots=True)
class Matched:
    """A request that is in the table."""

    route: Route
    """Its row."""
    parts: Mapping[str, str] = field(default_factory=dict[str, str])
    """What stands in its path for the parts that vary."""

    def number(self, name: str) -> int:
        """Return ``offset`` or ``after``."""
        return int(self.parts[name])


def _is_number(text: str) -> bool:
    return _NUMBER.fullmatch(text) is not None and int(text) <= MAX_SEQUENCE


_PARTS: Final[Mapping[str, Callable[[str], bool]]] = {
    "{device}": lambda text: is_hex(text, DEVICE_ID_BYTES),
    "{upload}": lambda text: is_hex(text, _UPLOAD_ID_BYTES),
    "{offset}": _is_number,
    "{after}": _is_number,
}


def match_untrusted(method: str, path: str, listener: Listener = Listener.DEVICES) -> Matched:
    """Return the row of a request; NoSuchPathError, WrongMethodError."""
    given = path.split("/")
    elsewhere = False
    for route in ROUTES:
        parts = _fit(route, given) if route.listener is listener else None
        if parts is None:
            continue
        if route.method == method:
            return Matched(route, parts)
        elsewhere = True
    if elsewhere:
        raise WrongMethodError("cloud: not with this method")
    raise NoSuchPathError("cloud: nothing is there")


def _fit(route: Route, given: list[str]) -> dict[str, str] | None:
    wanted = route.path.split("/")
    if len(wanted) != len(given):
        return None
    parts: dict[str, str] = {}
    for pattern, text in zip(wanted, given, strict=True):
        accepts = _PARTS.get(pattern)
        if accepts is None:
            if pattern != text:
                return None
        elif not accepts(text):
            return None
        else:
            parts[pattern.strip("{}")] = text
    return parts


def path_of(route: RouteId, **parts: str | int) -> str:
    """Return the path of a request: ``path_of(RouteId.DOWNLINK, device=..., after=7)``; UsageError."""
    path = ROUTE_OF[route].path
    for name, value in parts.items():
        pattern = f"{{{name}}}"
        if pattern not in path or not _PARTS[pattern](str(value)):
            raise UsageError(f"cloud: {name} does not fit the path of this request")
        path = path.replace(pattern, str(value))
    if "{" in path:
        raise UsageError("cloud: a part of the path is missing")
    return path
