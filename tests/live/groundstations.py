"""A ground station as pymavlink scripts are: it blocks, so tests run it in threads.

The others, which are programs of their own: :mod:`tests.live.mavclients`.
"""

import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Final

from tests.live.autopilot import COMPONENT, SYSTEM
from tests.live.mavwire import Message, Wire
from tests.live.missions import Item

LIMIT_S: Final = 20.0
"""For whatever it does: far more than anything takes."""
_HEARTBEAT_S: Final = 0.25
_QUIET_S: Final = 0.25
"""Then it asks again for what has not come."""
_REAL32: Final = 9
_ARM: Final = 400
_REQUEST_MESSAGE: Final = 512
_VERSION_MESSAGE: Final = 148


class GroundStation:
    """It keeps what it hears; each method returns when the vehicle has answered, or is a TimeoutError."""

    def __init__(self, device: str, *, system: int = 255, version: int = 2, key: bytes | None = None) -> None:
        self.wire: Final = Wire(device, system, 190, version=version, key=key)
        self.heard: Final[list[str]] = []
        """Types of the messages that have come, in order."""
        self.armed = False
        """By the last heartbeat."""
        self._next_heartbeat_s = 0.0

    def wait_for(self, *types: str, limit_s: float = LIMIT_S, again: Callable[[], None] | None = None) -> Message:
        """Return the next message of a type; ask again while nothing comes."""
        end_s = time.monotonic() + limit_s
        ask_s = time.monotonic() + _QUIET_S
        while (now_s := time.monotonic()) < end_s:
            message = self._next(min(end_s, ask_s))
            if message is not None and message.get_type() in types and self._is_for_me(message):
                return message
            if now_s >= ask_s and again is not None:
                again()
            if now_s >= ask_s:
                ask_s = now_s + _QUIET_S
        raise TimeoutError(f"no {' or '.join(types)} came")

    def listen(self, until: Callable[[], bool], limit_s: float = LIMIT_S, *, beats: bool = True) -> None:
        """Take what comes until something is so; TimeoutError."""
        end_s = time.monotonic() + limit_s
        if not beats:
            self._next_heartbeat_s = end_s + 1.0
        while not until():
            if time.monotonic() > end_s:
                raise TimeoutError("what was waited for has not come")
            self._next(time.monotonic() + 0.02)

    def fetch_parameters(self) -> dict[str, float]:
        """Ask for the list, and then for each that is missing."""
        found: dict[int, tuple[str, float]] = {}
        count = 0

        def again() -> None:
            if not count:
                self.ask_parameters()
            for number in [each for each in range(count) if each not in found][:10]:
                self.wire.send("param_request_read", SYSTEM, COMPONENT, b"", number)

        self.ask_parameters()
        while not count or len(found) < count:
            message = self.wait_for("PARAM_VALUE", again=again)
            count = message.param_count
            found[message.param_index] = (message.param_id, message.param_value)
        return dict(found[number] for number in range(count))

    def ask_parameters(self) -> None:
        """Ask for the list of parameters."""
        self.wire.send("param_request_list", SYSTEM, COMPONENT)

    def set_parameter(self, name: str, value: float) -> None:
        """Set one, and see that it is set."""

        def ask() -> None:
            self.wire.send("param_set", SYSTEM, COMPONENT, name.encode(), value, _REAL32)

        ask()
        told = None
        while told != (name, value):
            message = self.wait_for("PARAM_VALUE", again=ask)
            told = message.param_id, message.param_value

    def upload(self, items: Sequence[Item]) -> None:
        """Send a mission up."""

        def begin() -> None:
            self.wire.send("mission_count", SYSTEM, COMPONENT, len(items))

        begin()
        while True:
            message = self.wait_for("MISSION_REQUEST_INT", "MISSION_REQUEST", "MISSION_ACK", again=begin)
            if message.get_type() == "MISSION_ACK":
                if message.type:
                    raise ValueError(f"the vehicle refuses the mission: {message.type}")
                return
            item = items[int(message.seq)]
            self.wire.send("mission_item_int", *item.fields(SYSTEM, COMPONENT, message.seq))

    def download(self) -> list[Item]:
        """Fetch the mission."""

        def ask() -> None:
            self.wire.send("mission_request_list", SYSTEM, COMPONENT)

        ask()
        count: int = self.wait_for("MISSION_COUNT", again=ask).count
        items: list[Item] = []
        while len(items) < count:
            items.append(self._fetch_item(len(items)))
        self.wire.send("mission_ack", SYSTEM, COMPONENT, 0)
        return items

    def _fetch_item(self, number: int) -> Item:
        def ask() -> None:
            self.wire.send("mission_request_int", SYSTEM, COMPONENT, number)

        ask()
        while (message := self.wait_for("MISSION_ITEM_INT", again=ask)).seq != number:
            pass
        return Item.of(message)

    def arm(self) -> int:
        """Arm the vehicle; return the result of its answer."""
        return self._command(_ARM, 1.0)

    def version(self) -> Message:
        """Ask what the vehicle is."""
        self._command(_REQUEST_MESSAGE, _VERSION_MESSAGE)
        return self.wait_for("AUTOPILOT_VERSION")

    def _command(self, number: int, param: float) -> int:
        attempts = iter(range(255))

        def ask() -> None:
            self.wire.send("command_long", SYSTEM, COMPONENT, number, next(attempts), param, 0, 0, 0, 0, 0, 0)

        ask()
        while (message := self.wait_for("COMMAND_ACK", again=ask)).command != number:
            pass
        return int(message.result)

    def _next(self, end_s: float) -> Message | None:
        """Return the next message, if one comes in time; heartbeats leave meanwhile."""
        message = self.wire.take()
        while message is None and (now_s := time.monotonic()) < end_s:
            if now_s >= self._next_heartbeat_s:
                self._next_heartbeat_s = now_s + _HEARTBEAT_S
                self.beat()
            self.wire.wait(min(end_s, self._next_heartbeat_s) - now_s)
            message = self.wire.take()
        if message is not None:
            self.heard.append(message.get_type())
            if message.get_type() == "HEARTBEAT" and message.get_srcSystem() == SYSTEM:
                self.armed = bool(message.base_mode & 128)
        return message

    def beat(self) -> None:
        """Send a heartbeat."""
        ground_station, no_autopilot, active = 6, 8, 4
        self.wire.send("heartbeat", ground_station, no_autopilot, 0, 0, active, 3)

    def _is_for_me(self, message: Message) -> bool:
        return getattr(message, "target_system", 0) in {0, self.wire.system}


@contextmanager
def station(device: str, *, system: int = 255, version: int = 2, key: bytes | None = None) -> Generator[GroundStation]:
    """A ground station that is closed afterwards."""
    made = GroundStation(device, system=system, version=version, key=key)
    try:
        yield made
    finally:
        made.wire.close()
