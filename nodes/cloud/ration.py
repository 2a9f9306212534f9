"""How often a device may ask: a request counts for what it costs all the others, who wait meanwhile (CL-13)."""

from typing import Final

from nodes.cloud.limits import CloudLimits
from protocols.cloud_api import Route, RouteId
from protocols.guards.ratelimit import SourceLimiter

_NOT_DECODED: Final = frozenset({RouteId.UPLOAD_CHUNK})
"""Bodies that go to the disk as they are."""


class Ration:
    """One for all devices; each has its own share. ``now``: seconds."""

    def __init__(self, limits: CloudLimits) -> None:
        self._limits = limits
        self._rates = SourceLimiter(limits.requests_per_s, limits.requests_burst)

    def allow_request(self, device: str, route: Route, body_bytes: int, now: float) -> bool:
        """Count a request, before its body is read; False if the device has had its share."""
        decoded_bytes = 0 if route.id in _NOT_DECODED else min(body_bytes, route.max_body_bytes)
        return self._allow(device, 1 + decoded_bytes / self._limits.request_bytes, now)

    def allow_frames(self, device: str, frames: int, now: float) -> bool:
        """Count the frames of a relay batch, before it is decoded; False if the device has had its share."""
        return self._allow(device, frames / self._limits.request_frames, now)

    def _allow(self, device: str, requests: float, now: float) -> bool:
        return self._rates.allow(bytes.fromhex(device), now, requests)
