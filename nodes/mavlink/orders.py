"""Commands of our own to the autopilot: repeated until it answers (MV-50)."""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import trio

from nodes.flight.mavlink import Encoder
from nodes.wakeup import Wakeup
from protocols.mavlink.autopilot import AutopilotView, MavCommand, Order
from protocols.mavlink.head import FrameHead

ONBOARD_COMPUTER: Final = 191
"""Our component id (MAV_COMP_ID_ONBOARD_COMPUTER)."""
ATTEMPTS: Final = 5
AGAIN_S: Final = 0.5
_PARAMETERS: Final = 7
_COMMAND_ACK: Final = 77
_ACK: Final = struct.Struct("<HB5xBB")
_ACCEPTED, _IN_PROGRESS = 0, 5
_RESULTS: Final = {
    1: "not now",
    2: "denied: does it take only signed commands?",
    3: "it does not know that command",
    4: "it has failed",
    6: "cancelled",
}
_NAMES: Final = {
    MavCommand.NAV_LOITER_UNLIM: "to hold",
    MavCommand.NAV_RETURN_TO_LAUNCH: "to return home",
    MavCommand.NAV_LAND: "to land",
    MavCommand.DO_SET_MODE: "to hold",
    MavCommand.COMPONENT_ARM_DISARM: "to stop the motors",
}


@dataclass(eq=False, slots=True)
class _Given:
    """An order that is being carried out; the same once more is another."""

    order: Order
    yields: bool
    result: int | None = None


class Orders:
    """What one autopilot is told; :meth:`run` must run."""

    def __init__(self, view: AutopilotView, send: Callable[[bytes], None], tell: Callable[[str], None]) -> None:
        self._view = view
        self._send = send
        self._tell = tell
        self._given: _Given | None = None
        self._news = Wakeup()
        self._encoders: dict[int, Encoder] = {}

    def give(self, order: Order, *, yields: bool = False) -> None:
        """Send an order in the place of the one before.

        One that ``yields`` is given up as soon as the autopilot returns or lands (MV-51).
        """
        self._given = _Given(order, yields)
        self._news.set()

    def take_untrusted(self, head: FrameHead) -> None:
        """Take a frame of the autopilot, which may be the answer; what it answers to others is none."""
        given = self._given
        if head.message != _COMMAND_ACK or given is None:
            return
        command, result, system, component = _ACK.unpack(head.payload[: _ACK.size].ljust(_ACK.size, b"\0"))
        is_ours = system in {0, head.system} and component in {0, ONBOARD_COMPUTER}  # older ones do not say to whom
        if is_ours and command == given.order.command and result != _IN_PROGRESS:
            given.result = result
            self._news.set()

    async def run(self) -> None:
        """Carry out what is given, for ever."""
        while True:
            await self._news.wait()
            given = self._given
            if given is not None:
                await self._carry_out(given)

    async def _carry_out(self, given: _Given) -> None:
        """Send an order until it is answered, or another is given."""
        order = given.order
        self._tell(f"tells the autopilot {_NAMES[order.command]}")
        for attempt in range(ATTEMPTS):
            if given.yields and self._view.is_going_home:
                self._given = None
                return
            self._send_once(order, attempt)
            with trio.move_on_after(AGAIN_S):
                await self._news.wait()
            if self._given is not given:
                self._news.set()
                return
            if given.result is not None:
                self._given = None
                self._tell_result(order, given.result)
                return
        self._given = None
        self._tell(f"the autopilot does not answer when it is told {_NAMES[order.command]}: its own failsafe must act")

    def _tell_result(self, order: Order, result: int) -> None:
        if result != _ACCEPTED:
            why = _RESULTS.get(result, f"result {result}")
            self._tell(f"the autopilot refuses {_NAMES[order.command]}: {why}; its own failsafe must act")

    def _send_once(self, order: Order, attempt: int) -> None:
        said = self._view.heartbeat
        if said is None:
            return
        encoder = self._encoders.setdefault(said.system, Encoder(said.system, ONBOARD_COMPUTER))
        parameters = (*order.parameters, *[0.0] * (_PARAMETERS - len(order.parameters)))
        self._send(encoder.frame("command_long", said.system, said.component, int(order.command), attempt, *parameters))
