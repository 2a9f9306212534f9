"""A vehicle as pymavlink makes one: heartbeat, telemetry, parameters, missions and commands, in a thread of its own.

It answers as ArduPilot does where autopilots differ (C casts in parameters, https://mavlink.io/en/services/parameter.html),
but sends its whole parameter list at once, which is harder on what is in between.
"""

import threading
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from tests.live.mavwire import Message, Wire
from tests.live.missions import Item, parameters

SYSTEM: Final = 1
COMPONENT: Final = 1
_HEARTBEAT_S: Final = 0.25
_TELEMETRY_S: Final = 0.1
_ASK_AGAIN_S: Final = 0.3
"""For the next item of a mission."""
_REAL32: Final = 9
_ACCEPTED: Final = 0
_UNSUPPORTED: Final = 3
_INVALID_SEQUENCE: Final = 13
_ARM: Final = 400
_SET_MESSAGE_INTERVAL: Final = 511
_REQUEST_MESSAGE: Final = 512
_REQUEST_CAPABILITIES: Final = 520
_VERSION_MESSAGE: Final = 148
_CAPABILITIES: Final = 2 | 4 | 8 | 8192 | 131_072
"""Float parameters, integer missions and commands, MAVLink 2, C casts."""


@dataclass
class _Upload:
    """A mission that comes up."""

    sender: tuple[int, int]
    count: int
    items: list[Item] = field(default_factory=list[Item])
    asked_s: float = 0.0


class Autopilot:
    """The vehicle; it says nothing until somebody is known to listen, if it waits at its port."""

    def __init__(
        self, device: str, *, version: int = 2, key: bytes | None = None, values: Mapping[str, float] | None = None
    ) -> None:
        self.wire: Final = Wire(device, SYSTEM, COMPONENT, version=version, key=key)
        self.values: Final = dict(values or parameters())
        """Its parameters."""
        self.mission: list[Item] = []
        self.armed = False
        self.seen: Final[list[str]] = []
        """Types of the messages that have come, in order."""
        self.heard: Final[set[int]] = set()
        """Systems that have sent a heartbeat."""
        self._upload: _Upload | None = None
        self._due_s: Final = {self._heartbeat: 0.0, self._telemetry: 0.0}
        self._began_s: Final = time.monotonic()
        self._stopping: Final = threading.Event()
        self._turned: Final = threading.Event()
        self._speaking: Final = threading.Lock()
        self._is_silent = False
        self._handlers: Final[dict[str, Callable[[Message], None]]] = {
            "HEARTBEAT": lambda message: self.heard.add(message.get_srcSystem()),
            "PARAM_REQUEST_LIST": self._list_parameters,
            "PARAM_REQUEST_READ": self._read_parameter,
            "PARAM_SET": self._set_parameter,
            "MISSION_REQUEST_LIST": self._count_mission,
            "MISSION_REQUEST_INT": self._give_item,
            "MISSION_REQUEST": self._give_item,
            "MISSION_COUNT": self._begin_upload,
            "MISSION_ITEM_INT": self._take_item,
            "MISSION_CLEAR_ALL": self._clear_mission,
            "COMMAND_LONG": self._command,
            "TIMESYNC": self._tell_time,
        }

    # --- its thread -----------------------------------------------------------------------------

    def run(self) -> None:
        while not self._stopping.is_set():
            with self._speaking:
                if not self._is_silent:
                    self._periodic(time.monotonic())
                while (message := self.wire.take()) is not None:
                    self._take(message)
            self._turned.set()
            self.wire.wait(0.02)

    def stop(self) -> None:
        self._stopping.set()

    def hush(self) -> None:
        """Say nothing any more by itself, and wait until what it was saying is said."""
        with self._speaking:
            self._is_silent = True

    def listen(self, until: Callable[[], bool], limit_s: float) -> None:
        """Wait until something is so; TimeoutError."""
        end_s = time.monotonic() + limit_s
        while not until():
            if time.monotonic() > end_s:
                raise TimeoutError("what was waited for has not come")
            self._turned.wait(0.05)
            self._turned.clear()

    def _take(self, message: Message) -> None:
        self.seen.append(message.get_type())
        handler = self._handlers.get(message.get_type())
        if handler is not None and getattr(message, "target_system", 0) in {0, SYSTEM}:
            handler(message)

    def _periodic(self, now_s: float) -> None:
        if not self.wire.has_peer:
            return
        for send, period_s in ((self._heartbeat, _HEARTBEAT_S), (self._telemetry, _TELEMETRY_S)):
            if now_s >= self._due_s[send]:
                self._due_s[send] = now_s + period_s
                send()
        if self._upload is not None and now_s >= self._upload.asked_s + _ASK_AGAIN_S:
            self._ask_item(self._upload)

    def _heartbeat(self) -> None:
        quadrotor, ardupilot, standby_or_active = 2, 3, 4 if self.armed else 3
        self.wire.send("heartbeat", quadrotor, ardupilot, 81 | (128 if self.armed else 0), 0, standby_or_active, 3)

    def _telemetry(self) -> None:
        ms = int((time.monotonic() - self._began_s) * 1_000)
        place = (473_977_420 + ms, 85_455_940 - ms)
        self.wire.send("attitude", ms, 0.125, -0.25, 0.5, 0.0, 0.0, 0.0)
        self.wire.send("global_position_int", ms, *place, 500_000, 12_500, 10, -10, 0, 9_000)
        self.wire.send("gps_raw_int", ms * 1_000, 3, *place, 500_000, 80, 120, 14, 9_000, 12)
        self.wire.send("sys_status", 0xFFFF, 0xFFFF, 0xFFFF, 300, 15_800, 1_200, 87, 0, 0, 0, 0, 0, 0)

    # --- parameters -----------------------------------------------------------------------------

    def _list_parameters(self, _message: Message) -> None:
        for number in range(len(self.values)):
            self._tell_parameter(number)

    def _read_parameter(self, message: Message) -> None:
        if message.param_index >= 0:
            self._tell_parameter(message.param_index)
        elif message.param_id in self.values:
            self._tell_parameter(list(self.values).index(message.param_id))

    def _set_parameter(self, message: Message) -> None:
        if message.param_id in self.values:
            self.values[message.param_id] = message.param_value
            self._tell_parameter(list(self.values).index(message.param_id))

    def _tell_parameter(self, number: int) -> None:
        if number < len(self.values):
            name, value = list(self.values.items())[number]
            self.wire.send("param_value", name.encode(), value, _REAL32, len(self.values), number)

    # --- missions -------------------------------------------------------------------------------

    def _count_mission(self, message: Message) -> None:
        if getattr(message, "mission_type", 0) == 0:
            self.wire.send("mission_count", *_sender(message), len(self.mission))

    def _give_item(self, message: Message) -> None:
        if message.seq >= len(self.mission):
            self.wire.send("mission_ack", *_sender(message), _INVALID_SEQUENCE)
        else:
            item = self.mission[int(message.seq)]
            self.wire.send("mission_item_int", *item.fields(*_sender(message), message.seq))

    def _begin_upload(self, message: Message) -> None:
        if getattr(message, "mission_type", 0):
            return  # a fence or rally points
        if self._upload is None or self._upload.sender != _sender(message):
            self._upload = _Upload(_sender(message), message.count)
        self._ask_item(self._upload)

    def _take_item(self, message: Message) -> None:
        upload = self._upload
        if upload is None or upload.sender != _sender(message):
            self.wire.send("mission_ack", *_sender(message), _ACCEPTED)  # the one before was lost
        elif message.seq == len(upload.items):
            upload.items.append(Item.of(message))
            self._ask_item(upload)

    def _ask_item(self, upload: _Upload) -> None:
        upload.asked_s = time.monotonic()
        if len(upload.items) < upload.count:
            self.wire.send("mission_request_int", *upload.sender, len(upload.items))
        else:
            self.mission, self._upload = upload.items, None
            self.wire.send("mission_ack", *upload.sender, _ACCEPTED)

    def _clear_mission(self, message: Message) -> None:
        if getattr(message, "mission_type", 0) == 0:
            self.mission, self._upload = [], None
        self.wire.send("mission_ack", *_sender(message), _ACCEPTED)

    # --- commands -------------------------------------------------------------------------------

    def _command(self, message: Message) -> None:
        number, param = message.command, message.param1
        wants_version = number == _REQUEST_CAPABILITIES or (number == _REQUEST_MESSAGE and param == _VERSION_MESSAGE)
        known = wants_version or number in {_ARM, _SET_MESSAGE_INTERVAL}
        if number == _ARM:  # first done, then acknowledged: who hears of it may look
            self.armed = param == 1
        self.wire.send("command_ack", number, _ACCEPTED if known else _UNSUPPORTED)
        if wants_version:
            none = [0] * 8
            self.wire.send("autopilot_version", _CAPABILITIES, 4 << 24 | 255, 0, 0, 0, none, none, none, 0, 0, 42)
        if number == _ARM:
            self._heartbeat()

    def _tell_time(self, message: Message) -> None:
        if message.tc1 == 0:
            self.wire.send("timesync", time.monotonic_ns(), message.ts1)


def _sender(message: Message) -> tuple[int, int]:
    return message.get_srcSystem(), message.get_srcComponent()


@contextmanager
def flying(vehicle: Autopilot, after: Sequence[Callable[[], None]] = ()) -> Generator[Autopilot]:
    """Let a vehicle live while the block does; ``after``: what each station says that is to hear its first word."""
    thread = threading.Thread(target=vehicle.run, name="autopilot")
    try:
        for greet in after:
            greet()
            while vehicle.wire.take() is None:
                vehicle.wire.wait(1.0)
        thread.start()
        yield vehicle
    finally:
        vehicle.stop()
        if thread.is_alive():
            thread.join()
        vehicle.wire.close()
