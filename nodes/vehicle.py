"""What a flight deck needs of the things behind it: the vehicle, and whoever keeps keys and logs."""

from typing import Protocol

from specs.airlink.command import Answer, CameraControl, ChangeSettings, CommandCode, GoTo
from specs.airlink.control import Sticks
from specs.remotelink import LogReceipt, SealingKeys, VerifyingKeys


class Vehicle(Protocol):
    """What flies. Everything returns at once, so that nothing comes between admission and action (AU-20).

    An ``AerolinkError`` that it raises is answered with FAILED.
    """

    @property
    def armed(self) -> bool:
        """Whether the motors may turn."""
        ...

    def command(self, code: CommandCode) -> Answer:
        """Do what was commanded, if it is possible now."""
        ...

    def go_to(self, place: GoTo) -> Answer:
        """Fly there."""
        ...

    def steer(self, sticks: Sticks) -> None:
        """Take the sticks; they count until others come (the deck sends them to rest in time)."""
        ...

    def control_camera(self, control: CameraControl) -> Answer:
        """Aim, zoom, release the shutter."""
        ...

    def change_settings(self, change: ChangeSettings) -> Answer:
        """Set what is named; INVALID, and nothing changes, if one cannot be set."""
        ...

    def take_mavlink(self, frame: bytes) -> None:
        """Hand one MAVLink frame to the autopilot."""
        ...

    def hold(self) -> None:
        """Failsafe: hold here; stop the motors on the ground; let a return or a landing go on (AU-35)."""
        ...

    def return_home(self) -> None:
        """Failsafe: fly home and land there; let a landing go on."""
        ...

    def land(self) -> None:
        """Failsafe: land here; let a return go on."""
        ...


class Keeper(Protocol):
    """Keys, logs and pairings of the drone: what the cloud may change (AU-24); durable on return (GL-12)."""

    async def seal_to(self, keys: SealingKeys, cloud: bytes) -> VerifyingKeys | Answer:
        """Seal logs to this key of the cloud with this key id; the drone's own verifying keys, or why not."""
        ...

    async def log_stored(self, receipt: LogReceipt, cloud: bytes) -> Answer:
        """The cloud with this key id has this log."""
        ...

    async def may_revoke(self, key_id: bytes, cloud: bytes) -> bool:
        """Whether the cloud with this key id may have a device revoked (GL-16)."""
        ...

    async def revoke(self, key_id: bytes) -> Answer:
        """Trust this device no more, and end its links."""
        ...
