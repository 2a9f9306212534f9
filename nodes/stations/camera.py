"""The camera of a demo: films a test pattern, and does what the pilot says."""

from collections.abc import Callable
from typing import Final

import trio

from nodes.video import VideoSource
from protocols.airlink import encode
from specs.airlink.command import Answer, CameraAction, CameraControl, Result
from specs.airlink.stream import MediaFlags, MediaFrame
from specs.airlink.telemetry import Camera

Show = Callable[[bytes], bool]
"""Takes a picture, as a message; whether somebody sees it."""
_LAG_S: Final = 0.5
"""A camera that is later than this leaves pictures out instead of sending them in a burst."""
_ALONE_S: Final = 0.1
"""How often a camera that nobody watches looks up."""
_CARD_MIB: Final = 32_768


class CameraStand:
    """Counts pictures and photos; no pixel in it is real."""

    def __init__(self) -> None:
        self.frames = 0
        """Pictures that somebody saw."""
        self._video = VideoSource()
        self._recording = False
        self._photos = 0
        self._tilt_cdeg = 0
        self._zoom_percent = 100

    async def film(self, show: Show) -> None:
        """Show pictures at their times, for ever."""
        started = trio.current_time()
        while True:
            lag_s = trio.current_time() - started - self._video.due_s(self.frames)
            started += lag_s if lag_s > _LAG_S else 0.0
            await trio.sleep_until(started + self._video.due_s(self.frames))
            key = self.frames % self._video.rate_hz == 0
            flags = MediaFlags.KEY_FRAME if key else MediaFlags(0)
            time_ms = round(trio.current_time() * 1_000) & 0xFFFF_FFFF
            picture = MediaFrame(flags, self.frames & 0xFFFF_FFFF, time_ms, self._video.frame(self.frames))
            if show(encode(picture)):
                self.frames += 1
            else:  # nobody is there: what they will see begins then
                started = trio.current_time() - self._video.due_s(self.frames)
                await trio.sleep(_ALONE_S)

    def control(self, message: CameraControl) -> Answer:
        """Aim, zoom, and do what is asked for."""
        self._tilt_cdeg, self._zoom_percent = message.tilt_cdeg, message.zoom_percent
        if message.action is CameraAction.TAKE_PHOTO:
            self._photos += 1
        elif message.action is CameraAction.START_RECORDING:
            self._recording = True
        elif message.action is CameraAction.STOP_RECORDING:
            self._recording = False
        return Answer(Result.DONE)

    def state(self) -> Camera:
        """Return its telemetry."""
        free_mib = max(0, _CARD_MIB - self._photos * 8 - self.frames // 30)
        return Camera(self._recording, self._tilt_cdeg, self._zoom_percent, self._photos, free_mib)
