"""MAVLink over a serial line: pyserial sets it up, trio reads and writes (MV-24)."""

import os
import secrets
import termios
from collections.abc import Callable
from typing import Final

import serial
import trio

from nodes.config.mavlink import MavlinkEndpoint
from nodes.mavlink.port import Take
from nodes.mavlink.single import SinglePort
from nodes.uplink.backoff import Backoff, BackoffLimits
from protocols.errors import ConfigError
from protocols.mavlink import FrameChecks

WAITS: Final = BackoffLimits(0.25, 4.0)
"""Between two looks whether the device is back."""


class SerialPort(SinglePort):
    """Keeps one device open; one that is pulled out is opened again when it is back."""

    def __init__(self, endpoint: MavlinkEndpoint, checks: FrameChecks, tell: Callable[[str], None]) -> None:
        super().__init__(endpoint, checks, tell)
        self._first: trio.lowlevel.FdStream | None = None

    async def open(self) -> None:
        try:
            self._first = await self._open()
        except (OSError, ValueError) as error:
            raise ConfigError(f"{self.endpoint}: {_reason(error)}") from None

    async def run(self, take: Take) -> None:
        backoff = Backoff(WAITS, secrets.token_bytes)
        stream, self._first = self._first, None
        while True:
            if stream is not None:
                self._recovered()
                backoff.reset()
                await self._serve_wire(stream, take)
                self._complain("the device has gone")
            await trio.sleep(backoff.next_s())
            try:
                stream = await self._open()
            except (OSError, ValueError) as error:
                stream = None
                self._complain(_reason(error))

    async def _open(self) -> trio.lowlevel.FdStream:
        """Open and set up the device, in another thread: some block for seconds."""
        number = await trio.to_thread.run_sync(_open_device, self.endpoint.device, self.endpoint.baud)
        return trio.lowlevel.FdStream(number)

    def close(self) -> None:
        if self._first is not None:
            self._first.close()
            self._first = None


def _open_device(device: str, baud: int) -> int:
    """Return a descriptor of the device, set up; OSError (pyserial's errors are such), ValueError for its baud rate.

    A read waits for one byte at least (``inter_byte_timeout``): otherwise "nothing yet" would look like the end.
    """
    try:
        with serial.Serial(device, baud, timeout=0, write_timeout=0, inter_byte_timeout=0, exclusive=True) as port:
            return os.dup(port.fileno())
    except termios.error as error:  # pulled out in between: pyserial lets that through
        raise OSError(*error.args) from None


def _reason(error: OSError | ValueError) -> str:
    if isinstance(error, ValueError):
        return "it does not take that baud rate"
    reasons = {
        2: "there is no such device",
        13: "the system does not allow it: is the user in the group of the device?",
    }
    return reasons.get(error.errno or 0, "it cannot be opened as a serial device, or is in use")
