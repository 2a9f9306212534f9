"""The pilot of a demo: sticks 50 times a second, and a short list of commands."""

import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

import trio

from nodes.stations.base import send_or_drop
from nodes.stations.hands import HEARTBEAT_S, Hands
from nodes.wakeup import Wakeup
from protocols.airlink import Message, encode
from protocols.events import SendControl
from specs.airlink.authority import Right
from specs.airlink.command import CameraAction, CameraControl, Command, CommandCode
from specs.airlink.control import Sticks
from specs.airlink.telemetry import FlightPhase, FlightState
from specs.registry import ChannelId

STICKS_S: Final = 0.02
"""50 Hz."""
_HEARTBEAT_EVERY: Final = round(HEARTBEAT_S / STICKS_S)
"""So often a message is a heartbeat (AL-6)."""


@dataclass(frozen=True, slots=True)
class Step:
    """A command, and when it is due."""

    at: float
    """Share of the demo's time from which on it may be given."""
    message: Message | None
    """What to say; None: do ``act``."""
    text: str
    """What it is called."""
    phase: FlightPhase | None = None
    """Wait for this phase, until the next step is due."""
    act: Callable[[], Awaitable[object]] | None = None
    """What to do instead of saying something."""


STEPS: Final = (
    Step(0.0, CameraControl(CameraAction.START_RECORDING, 0, 100), "start recording"),
    Step(0.0, Command(CommandCode.TAKE_OFF), "take off"),
    Step(0.3, CameraControl(CameraAction.TAKE_PHOTO, -4_500, 200), "take a photo"),
    Step(0.45, Command(CommandCode.FLY_ROUTE), "fly the route", FlightPhase.HOLDING),
    Step(0.65, Command(CommandCode.LAND), "land"),
)
STEERED: Final = (0.3, 0.42)
"""Shares of the time between which the sticks are moved."""


class Pilot:
    """Says everything that a remote controller says to its drone, while it holds the right to."""

    def __init__(self, hands: Hands) -> None:
        self.hands: Final = hands
        """The link to the drone."""
        self._started_s = trio.current_time()
        self._live_s = 0.0
        self._phase: FlightPhase | None = None
        self._seen = Wakeup()

    @property
    def share(self) -> float:
        """How much of the time has passed."""
        return (trio.current_time() - self._started_s) / self._live_s if self._live_s else 0.0

    def see(self, message: object) -> None:
        """Take what the drone shows."""
        self.hands.see(message)
        if isinstance(message, FlightState):
            self._phase = message.phase
            self._seen.set()

    async def fly(self, live_s: float, steps: Sequence[Step] = STEPS) -> None:
        """Give every command in its time; returns when the time is over."""
        self._started_s, self._live_s = trio.current_time(), live_s
        for step, following in zip(steps, (*steps[1:], None), strict=True):
            await trio.sleep_until(self._started_s + step.at * live_s)
            with trio.move_on_at(self._started_s + (following.at if following else 1.0) * live_s):
                while step.phase not in {None, self._phase}:
                    await self._seen.wait()
            if step.phase in {None, self._phase}:
                await self._do(step)
        await trio.sleep_until(self._started_s + live_s)

    async def _do(self, step: Step) -> None:
        if step.message is not None:
            await self.hands.ask(step.message, step.text)
        elif step.act is not None:
            await step.act()

    async def finish(self) -> None:
        """End the recording: the drone's streams are over when it has answered."""
        await self.hands.ask(CameraControl(CameraAction.STOP_RECORDING, 0, 100), "stop recording")

    async def steer(self) -> None:
        """Sticks while the right to fly is ours, and heartbeats in any case, for ever."""
        tick = 0
        started_s = trio.current_time()
        while True:
            if tick % _HEARTBEAT_EVERY == 0:
                self.hands.beat_once()
            elif self.hands.holds(Right.FLIGHT):
                send_or_drop(self.hands.link, SendControl(ChannelId.CONTROL, encode(self._sticks())))
            tick = max(tick + 1, int((trio.current_time() - started_s) / STICKS_S))  # never in a burst
            await trio.sleep_until(started_s + tick * STICKS_S)

    def _sticks(self) -> Sticks:
        if not STEERED[0] < self.share < STEERED[1]:
            return Sticks(0, 0, 0, 0)
        angle = trio.current_time() * 2
        return Sticks(round(500 * math.sin(angle)), round(500 * math.cos(angle)), 200, 0)
