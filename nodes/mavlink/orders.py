"""Commands of our own to the autopilot: repeated until it answers (MV-50)."""

import struct
from collections.abc import Callable
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
_ACK: Final = struct.Struct("<HB")
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


class Orders:
    """What one autopilot is told; :meth:`run` must run."""

    def __init__(self, view: AutopilotView, send: Callable[[bytes], None], tell: Callable[[str], None]) -> None:
        self._view = view
        self._send = send
        self._tell = tell
        self._order: Order | None = None
        self._result: int | None = None
        self._news = Wakeup()
        self._encoders: dict[int, Encoder] = {}

    def give(self, order: Order) -> None:
        """Send an order in the place of the one before."""
        self._order, self._result = order, None
        self._news.set()

    def take_untrusted(self, head: FrameHead) -> None:
        """Take a frame of the autopilot, which may be the answer."""
        if head.message == _COMMAND_ACK and self._order is not None:
            command, result = _ACK.unpack(head.payload[: _ACK.size].ljust(_ACK.size, b"\0"))
            if command == self._order.command and result != _IN_PROGRESS:
                self._result = result
                self._news.set()

    async def run(self) -> None:
        """Carry out what is given, for ever."""
        while True:
            await self._news.wait()
            order = self._order
            if order is not None:
                await self._carry_out(order)

    async def _carry_out(self, order: Order) -> None:
        """Send an order until it is answered, or another is given."""
        self._tell(f"tells the autopilot {_NAMES[order.command]}")
        for attempt in range(ATTEMPTS):
            self._send_once(order, attempt)
            with trio.move_on_after(AGAIN_S):
                await self._news.wait()
            if self._order is not order:
                self._news.set()
                return
            if self._result is not None:
                self._order = None
                self._tell_result(order, self._result)
                return
        self._order = None
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
