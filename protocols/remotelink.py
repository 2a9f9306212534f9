"""Messages of the end-to-end links to the drone in and out of bytes (specs/6-groundlink.md, 6.2)."""

from typing import Final

from protocols.messages import MessageTable
from specs.airlink.authority import AuthorityRequest, AuthorityState
from specs.airlink.command import Answer, CameraControl, ChangeSettings, Command, GoTo
from specs.airlink.control import Heartbeat, Sticks
from specs.airlink.stream import MavlinkFrame
from specs.airlink.telemetry import Battery, Camera, FlightState, Gnss, Home, Settings
from specs.remotelink import CLOUD_MESSAGES, MOBILE_MESSAGES, LogReceipt, RevokePeer, SealingKeys, VerifyingKeys

MobileMessage = (
    Sticks
    | Heartbeat
    | Command
    | GoTo
    | CameraControl
    | ChangeSettings
    | AuthorityRequest
    | Answer
    | FlightState
    | Battery
    | Gnss
    | Camera
    | Home
    | Settings
    | AuthorityState
    | MavlinkFrame
)
"""Everything that can travel between mobile and drone, end to end."""

CloudMessage = MobileMessage | SealingKeys | LogReceipt | RevokePeer | VerifyingKeys
"""Everything that can travel between cloud and drone, end to end."""

REMOTE_MOBILE: Final[MessageTable[MobileMessage]] = MessageTable("mobile-to-drone", MOBILE_MESSAGES.values())
"""``encode``, ``decode_untrusted`` and ``row`` of these."""

REMOTE_CLOUD: Final[MessageTable[CloudMessage]] = MessageTable("cloud-to-drone", CLOUD_MESSAGES.values())
"""``encode``, ``decode_untrusted`` and ``row`` of these."""
