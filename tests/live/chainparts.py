"""What stands in the place of outside things in ``tests/live/chainkit.py``: a vehicle that writes down, HTTPS."""

import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, NoReturn, Self, cast

import trio

from nodes.cloud.node import Cloud
from nodes.https import Body, ClientResponse, HttpError, HttpsClient, Request, StatusError
from nodes.stations.camera import CameraStand
from nodes.stations.craft import Craft
from nodes.stations.mobile import MobileStation
from nodes.stations.vehicle import RecordedVehicle
from nodes.uplink.uploads import UploadEnd
from specs.airlink.command import Answer, CameraControl, ChangeSettings, CommandCode, GoTo, Result
from specs.airlink.control import Sticks
from tests.unit.cloud.kit import FakeAuthority

TRAVEL_S: Final = 0.005
CLOUD_AUTHORITY: Final = b"the authority..."
REST: Final = Sticks(0, 0, 0, 0)

# --- the drone's vehicle -------------------------------------------------------------------------


class NotedCraft(Craft):
    """Does everything that it is told, and writes it down, each time that it is told."""

    def __init__(self) -> None:
        super().__init__(RecordedVehicle(()), CameraStand())
        self.done: list[object] = []
        self.sticks: list[Sticks] = []
        """Without those at rest."""
        self.failsafe: list[str] = []
        self.is_armed = False

    @property
    def armed(self) -> bool:
        return self.is_armed

    def _note(self, what: object) -> Answer:
        self.done.append(what)
        return Answer(Result.DONE)

    def command(self, code: CommandCode) -> Answer:
        return self._note(code)

    def go_to(self, place: GoTo) -> Answer:
        return self._note(place)

    def control_camera(self, control: CameraControl) -> Answer:
        return self._note(control)

    def change_settings(self, change: ChangeSettings) -> Answer:
        return self._note(change)

    def take_mavlink(self, frame: bytes) -> None:
        self._note(frame)

    def steer(self, sticks: Sticks) -> None:
        if sticks != REST:
            self.sticks.append(sticks)

    def hold(self) -> None:
        self.failsafe.append("hold")

    def return_home(self) -> None:
        self.failsafe.append("return home")

    def land(self) -> None:
        self.failsafe.append("land")


# --- mobile and cloud without HTTPS ----------------------------------------------------------------


class Authority(FakeAuthority):
    """Has no notices for anybody."""

    async def deliver_notices(self, *_: object) -> int:
        await trio.lowlevel.checkpoint()
        return 0

    async def keep_fresh(self, *_: object) -> NoReturn:
        await trio.sleep_forever()


@dataclass
class Credentials:
    """A device that was enrolled."""

    device_id: str
    authority_id: bytes = CLOUD_AUTHORITY

    def context(self) -> ssl.SSLContext:
        return cast("ssl.SSLContext", None)

    def renewal_due(self) -> bool:
        return False

    async def learn_time(self, _: float) -> None:
        await trio.lowlevel.checkpoint()


class Wire:
    """Requests of one device to the cloud (in the place of HttpsClient)."""

    def __init__(self, cloud: Cloud, device: str) -> None:
        self._cloud = cloud
        self._certificate = b"device " + device.encode()

    async def __aenter__(self) -> Self:
        await trio.lowlevel.checkpoint()
        return self

    async def __aexit__(self, *_: object) -> None:
        await trio.lowlevel.checkpoint()

    async def request(
        self, method: str, path: str, body: bytes = b"", *, headers: Mapping[str, str] | None = None
    ) -> ClientResponse:
        await trio.sleep(TRAVEL_S)
        try:
            response = await self._cloud.api.handle(self._request(method, path, body, headers))
        except HttpError as error:
            return ClientResponse(error.status, {}, b"")
        assert isinstance(response.body, bytes)
        return ClientResponse(response.status, {}, response.body)

    @asynccontextmanager
    async def stream(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None
    ) -> AsyncGenerator[AsyncIterator[bytes]]:
        await trio.sleep(TRAVEL_S)
        try:
            response = await self._cloud.api.handle(self._request(method, path, b"", headers))
        except HttpError as error:
            raise StatusError("a test", error.status) from None
        stream = cast("Any", response.body)
        try:
            yield stream
        finally:
            with trio.CancelScope(shield=True):
                await stream.aclose()

    def _request(self, method: str, path: str, body: bytes, headers: Mapping[str, str] | None) -> Request:
        return Request(method, path, headers or {}, self._certificate, Body.of(body))


class WiredMobileStation(MobileStation):
    """Its cloud is at the other end of a :class:`Wire`."""

    def __init__(self, wire: Callable[[], Wire], *parts: Any) -> None:
        super().__init__(*parts)
        self.ends: list[UploadEnd] = []
        self.cloud.connect = lambda _endpoint, _context, _name: cast("HttpsClient", wire())
        self.cloud.on_upload = self.ends.append
