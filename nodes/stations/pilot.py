"""The pilot of a demo: sticks 50 times a second, and a short list of commands."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import trio

from nodes.link import Link
from nodes.wakeup import Wakeup
from protocols.airlink import Message, encode
from protocols.events import SendControl
from specs.airlink.command import Answer, CameraAction, CameraControl, Command, CommandCode
from specs.airlink.control import Heartbeat, NodeState, Sticks
from specs.airlink.numbers import Direction
from specs.airlink.telemetry import FlightPhase, FlightState
from specs.registry import ChannelId

ReadUntrusted = Callable[[ChannelId, bytes, Direction], Message | None]
"""What a message says; None for one that says nothing."""
STICKS_S: Final = 0.02
"""50 Hz."""
_HEARTBEAT_EVERY: Final = 5
"""Every fifth message is a heartbeat: one each 100 ms (AL-6 asks for 200 ms)."""


@dataclass(frozen=True, slots=True)
class Step:
    """A command, and when it is due."""

    at: float
    """Share of the demo's time from which on it may be given."""
    message: Message
    """What to say."""
    text: str
    """What it is called."""
    phase: FlightPhase | None = None
    """Wait for this phase, until the next step is due."""


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
    """Says everything that goes up the link."""

    def __init__(self, link: Link, tell: Callable[[str], None], read_untrusted: ReadUntrusted) -> None:
        self.requests = 0
        """Commands sent."""
        self.answers = 0
        """Commands answered."""
        self._link = link
        self._tell = tell
        self._read_untrusted = read_untrusted
        self._started_s = trio.current_time()
        self._live_s = 0.0
        self._phase: FlightPhase | None = None
        self._seen = Wakeup()

    @property
    def _share(self) -> float:
        """How much of the time has passed."""
        return (trio.current_time() - self._started_s) / self._live_s if self._live_s else 0.0

    def see(self, state: FlightState) -> None:
        """Take the vehicle's newest state."""
        self._phase = state.phase
        self._seen.set()

    async def fly(self, live_s: float) -> None:
        """Give every command in its time; returns when the time is over."""
        self._started_s, self._live_s = trio.current_time(), live_s
        for step, following in zip(STEPS, (*STEPS[1:], None), strict=True):
            await trio.sleep_until(self._started_s + step.at * live_s)
            with trio.move_on_at(self._started_s + (following.at if following else 1.0) * live_s):
                while step.phase not in {None, self._phase}:
                    await self._seen.wait()
            if step.phase in {None, self._phase}:
                await self._say(step.message, step.text)
        await trio.sleep_until(self._started_s + live_s)

    async def finish(self) -> None:
        """End the recording: the drone's streams are over when it has answered."""
        await self._say(CameraControl(CameraAction.STOP_RECORDING, 0, 100), "stop recording")

    async def steer(self) -> None:
        """Sticks and heartbeats, for ever."""
        tick = 0
        started_s = trio.current_time()
        while True:
            message = self._heartbeat() if tick % _HEARTBEAT_EVERY == 0 else self._sticks()
            self._link.send_now(SendControl(ChannelId.CONTROL, encode(message)))
            tick = max(tick + 1, int((trio.current_time() - started_s) / STICKS_S))  # never in a burst
            await trio.sleep_until(started_s + tick * STICKS_S)

    def _heartbeat(self) -> Heartbeat:
        return Heartbeat(NodeState.ACTIVE, round(trio.current_time() * 1_000) & 0xFFFF_FFFF)

    def _sticks(self) -> Sticks:
        if not STEERED[0] < self._share < STEERED[1]:
            return Sticks(0, 0, 0, 0)
        angle = trio.current_time() * 2
        return Sticks(round(500 * math.sin(angle)), round(500 * math.cos(angle)), 200, 0)

    async def _say(self, message: Message, text: str) -> None:
        self.requests += 1
        sent_s = trio.current_time()
        data = await self._link.request(encode(message))
        answer = self._read_untrusted(ChannelId.COMMAND, data, Direction.DOWN)
        self.answers += 1
        took_ms = (trio.current_time() - sent_s) * 1_000
        if isinstance(answer, Answer):
            why = f": {answer.text}" if answer.text else ""
            result = answer.result.name.lower().replace("_", " ")
            self._tell(f"{text}: {result}{why} ({took_ms:.1f} ms)")
