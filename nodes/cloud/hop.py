"""The way between the cloud and a device as a relay sees it: port RelayHop over the cloudlink (CL-40 to CL-42)."""

from collections.abc import Callable, Iterable
from typing import Final

from protocols.channels import relay_frames
from protocols.errors import LocalError
from protocols.events import RelayMessage
from specs.registry import Role


class CloudHop:
    """Lives as long as one downlink; the next one has a hop of its own."""

    def __init__(self, device: str, send: Callable[[RelayMessage], None]) -> None:
        """``send`` takes a message that fits, without waiting."""
        self.device: Final = device
        """The id of the device."""
        self.key_id: Final = bytes.fromhex(device)
        """The device id as bytes: who the neighbour is, as its certificate has proven it (CL-42)."""
        self.on_message: Callable[[RelayMessage], None] | None = None
        """Given each message of the device, in order."""
        self._send = send
        self._is_up = True

    @property
    def role(self) -> Role | None:
        """None: a certificate says which device it is, and not whether that is a mobile or a dock."""
        return None

    @property
    def is_up(self) -> bool:
        """Whether its downlink is there."""
        return self._is_up

    def send(self, message: RelayMessage) -> None:
        """Send to the device; lost when the downlink has ended, or when it cannot be encoded."""
        if not self._is_up:
            return
        try:
            relay_frames.check(message)
        except LocalError:
            return
        self._send(message)

    def receive(self, messages: Iterable[RelayMessage]) -> None:
        """Hand over what the device has sent."""
        for message in messages:
            if self.on_message is not None:
                self.on_message(message)

    def down(self) -> None:
        """Note that the downlink has ended; it never comes back."""
        self._is_up = False
