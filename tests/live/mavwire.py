"""A pymavlink connection over UDP that keeps every byte, for vehicles and ground stations of tests.

It is ``mavutil.mavudp`` as scripts use it, but with a parser of its own: ``mavutil`` switches its module, and a
variable of the environment, with the first MAVLink 2 frame that it sees, and other tests would feel that.
"""

import hashlib
import socket
import threading
import time
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any, Final, Protocol

_BEGAN_S: Final = 1_420_070_400
"""Signing counts its time from 2015-01-01 (https://mavlink.io/en/guide/message_signing.html)."""
_RCVBUFFORCE: Final = 33
"""SO_RCVBUFFORCE of Linux, beyond what the system allows everybody (socket(7))."""
_ROOM_BYTES: Final = 8 * 2**20
_WAITS: Final = {"udpin": True, "udpout": False}


class Message(Protocol):
    """A message of pymavlink; its fields are attributes."""

    def get_type(self) -> str: ...
    def get_srcSystem(self) -> int: ...  # noqa: N802  # pymavlink's name
    def get_srcComponent(self) -> int: ...  # noqa: N802
    def get_signed(self) -> bool: ...
    def __getattr__(self, name: str) -> Any: ...


class Wire:
    """One end: ``udpin:HOST:PORT`` answers whoever has spoken, ``udpout:HOST:PORT`` speaks first."""

    def __init__(self, device: str, system: int, component: int, *, version: int = 2, key: bytes | None = None) -> None:
        kind, _, where = device.partition(":")
        self.words: Final[Any] = import_module(f"pymavlink.dialects.v{version}0.ardupilotmega")
        """Messages and constants of this version."""
        self.system: Final = system
        self.component: Final = component
        self.sent: Final[list[bytes]] = []
        """Every frame that has left, in order."""
        self.received: Final[list[bytes]] = []
        """Every datagram that has come, in order."""
        self.bad: Final[list[str]] = []
        """Why frames were not taken."""
        self._sending = threading.Lock()
        mavutil: Any = import_module("pymavlink.mavutil")
        link = self._link = mavutil.mavudp(where, input=_WAITS[kind], source_system=system, source_component=component)
        _widen(link.port)
        if not _WAITS[kind]:
            link.port.bind(("127.0.0.1", 0))  # the first datagram would bind it to all addresses
        self._recv: Callable[[], bytes] = link.recv
        self._write: Callable[[bytes], None] = link.write
        link.recv, link.write = self._recv_and_keep, self._write_and_keep
        link.mav = self.words.MAVLink(link, srcSystem=system, srcComponent=component)
        link.WIRE_PROTOCOL_VERSION, link.first_byte = f"{version}.0", False
        link.robust_parsing = link.mav.robust_parsing = True
        if key is not None:
            link.setup_signing(key, initial_timestamp=int((time.time() - _BEGAN_S) * 100_000), link_id=system)

    @property
    def has_peer(self) -> bool:
        """Whether it knows where to send to."""
        return not self._link.udp_server or bool(self._link.clients)

    @property
    def good_signatures(self) -> int:
        return int(self._link.mav.signing.goodsig_count)

    def send(self, name: str, *fields: object) -> None:
        """Send a message by its name in small letters; nothing, while nobody is known."""
        with self._sending:
            if self.has_peer:
                self._link.mav.send(getattr(self.words, f"MAVLink_{name}_message")(*fields))

    def repeat(self, frames: Iterable[bytes]) -> None:
        """Send bytes as they are, each in a datagram."""
        with self._sending:
            for frame in frames:
                self._link.write(frame)

    def wait(self, timeout_s: float) -> bool:
        """Wait for something to come; whether it has."""
        return bool(self._link.select(max(0.0, timeout_s)))

    def take(self) -> Message | None:
        """Return the next message that has come; what is wrong goes to :attr:`bad`."""
        while True:
            before = len(self.received)
            message: Message | None = self._link.recv_msg()
            if message is not None and message.get_type() == "BAD_DATA":
                self.bad.append(message.reason)
            elif message is not None or len(self.received) == before:
                return message

    def close(self) -> None:
        self._link.close()

    def _recv_and_keep(self) -> bytes:
        data = self._recv()
        if data:
            self.received.append(bytes(data))
        return data

    def _write_and_keep(self, data: bytes) -> None:
        self.sent.append(bytes(data))
        self._write(data)


def _widen(sock: socket.socket) -> None:
    """Ask for room for thousands of frames: this process may be held up, and a record must be whole."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, _RCVBUFFORCE, _ROOM_BYTES)
    except PermissionError:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _ROOM_BYTES)


def signing_key(words: str) -> bytes:
    """Turn words into a key, as ground stations do."""
    return hashlib.sha256(words.encode()).digest()
