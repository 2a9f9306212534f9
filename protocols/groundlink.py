"""Groundlink messages in and out of bytes (specs/6-groundlink.md, 6.1); how: :mod:`protocols.messages`."""

from typing import Final

from protocols.messages import MessageTable
from specs.airlink.authority import AuthorityState
from specs.airlink.command import Answer, LogOffer
from specs.airlink.control import Heartbeat
from specs.airlink.stream import MavlinkFrame, MediaFrame
from specs.airlink.telemetry import Battery, Camera, FlightState, Gnss, Home, Settings
from specs.groundlink import MESSAGES, LinkQuality, ShownDrone

Message = (
    Heartbeat
    | LogOffer
    | Answer
    | FlightState
    | Battery
    | Gnss
    | Camera
    | Home
    | Settings
    | AuthorityState
    | LinkQuality
    | ShownDrone
    | MediaFrame
    | MavlinkFrame
)
"""Everything that can travel on a groundlink."""

GROUNDLINK: Final[MessageTable[Message]] = MessageTable("groundlink", MESSAGES.values())
"""``encode``, ``decode_untrusted`` and ``row`` of these."""
