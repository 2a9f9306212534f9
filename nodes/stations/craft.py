"""What a drone carries, as the flight deck sees it: a vehicle, which flies or shows what it flew, and a camera."""

from typing import Final

from nodes.stations.camera import CameraStand
from nodes.stations.live import LiveVehicle
from nodes.stations.vehicle import Vehicle
from protocols.airlink import Message
from specs.airlink.command import Answer, CameraControl, ChangeSettings, CommandCode, GoTo, Result
from specs.airlink.control import Sticks


class Craft:
    """Port ``nodes.vehicle.Vehicle`` over the vehicles of this package."""

    def __init__(self, vehicle: Vehicle, camera: CameraStand) -> None:
        self.vehicle: Final = vehicle
        """What flies."""
        self.camera: Final = camera
        """What films."""
        self.mavlink_frames = 0
        """Frames that peers sent to the autopilot; only a live vehicle has one that reads them."""

    @property
    def _is_live(self) -> bool:
        """Whether there is an autopilot: then the camera that is played here is nobody's."""
        return isinstance(self.vehicle, LiveVehicle)

    @property
    def armed(self) -> bool:
        """Whether the motors may turn."""
        return self.vehicle.armed

    def telemetry(self) -> list[Message]:
        """Messages of the `telemetry` channel, as of now."""
        camera = [] if self._is_live else [self.camera.state()]
        return [*self.vehicle.telemetry(), *camera]

    def command(self, code: CommandCode) -> Answer:
        """Do what was commanded, if it is possible now."""
        return self.vehicle.command(code)

    def go_to(self, place: GoTo) -> Answer:  # noqa: ARG002  # whatever place
        """Refuse: neither the model nor a recording goes elsewhere, and an autopilot is commanded otherwise."""
        return Answer(Result.UNSUPPORTED)

    def steer(self, sticks: Sticks) -> None:
        """Take the sticks."""
        self.vehicle.steer(sticks)

    def control_camera(self, control: CameraControl) -> Answer:
        """Aim, zoom, release the shutter."""
        if self._is_live:
            return Answer(Result.UNSUPPORTED, "a ground station commands this camera")
        return self.camera.control(control)

    def change_settings(self, change: ChangeSettings) -> Answer:  # noqa: ARG002  # whatever setting
        """Refuse: there are no settings."""
        return Answer(Result.UNSUPPORTED)

    def take_mavlink(self, frame: bytes) -> None:
        """Count it, and hand it to the autopilot if there is one."""
        self.mavlink_frames += 1
        if isinstance(self.vehicle, LiveVehicle):
            self.vehicle.take_mavlink(frame)

    def drop_waiting(self) -> None:
        """Drop frames that wait for the autopilot; the flight right has another holder."""
        if isinstance(self.vehicle, LiveVehicle):
            self.vehicle.drop_waiting()

    def hold(self) -> None:
        """Failsafe: hold here."""
        self.vehicle.hold()

    def return_home(self) -> None:
        """Failsafe: fly home."""
        self.vehicle.return_home()

    def land(self) -> None:
        """Failsafe: land here."""
        self.vehicle.land()
