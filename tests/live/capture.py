"""What an eavesdropper on the loopback interface sees: every payload on given ports, and what of ours is in it."""

import base64
import socket
from collections.abc import AsyncGenerator, Iterable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

import trio

from tests.conftest import require_or_skip

RUN_BYTES: Final = 12
RUN_VALUES: Final = 6
"""A run of the source that counts as seen: so long, and not just zeros or a repeated value."""
_ETH_P_ALL, _ETH_HEADER, _PACKET_HOST = 3, 14, 0
_SOL_PACKET, _PACKET_STATISTICS, _SO_RCVBUFFORCE = 263, 6, 33
_BUFFER_BYTES = 64 << 20
_UDP, _TCP = 17, 6
Flow = tuple[int, int, int]
"""Protocol, source port, destination port."""


@dataclass
class Capture:
    """Packets of some ports."""

    ports: set[int]
    packets: int = 0
    byte_count: int = 0
    datagrams: list[bytes] = field(default_factory=list[bytes])
    segments: dict[Flow, list[tuple[int, bytes]]] = field(default_factory=dict[Flow, list[tuple[int, bytes]]])

    def take(self, frame: bytes) -> None:
        """Note an Ethernet frame if it is ours."""
        packet = frame[_ETH_HEADER:]
        if len(packet) < 20 or packet[0] >> 4 != 4 or packet[9] not in {_UDP, _TCP}:
            return
        total = int.from_bytes(packet[2:4], "big") or len(packet)
        head = (packet[0] & 15) * 4
        body = packet[head:total]
        source, destination = int.from_bytes(body[:2], "big"), int.from_bytes(body[2:4], "big")
        if not {source, destination} & self.ports:
            return
        payload = body[8:] if packet[9] == _UDP else body[(body[12] >> 4) * 4 :]
        if not payload:
            return
        self.packets += 1
        self.byte_count += len(payload)
        if packet[9] == _UDP:
            self.datagrams.append(payload)
        else:
            segments = self.segments.setdefault((_TCP, source, destination), [])
            segments.append((int.from_bytes(body[4:8], "big"), payload))

    def streams(self) -> Iterator[bytes]:
        """Yield the bytes of each direction of each TCP connection, in order, and every datagram."""
        yield from self.datagrams
        for segments in self.segments.values():
            stream, start = bytearray(), segments[0][0]
            for sequence, payload in segments:
                place = (sequence - start) & 0xFFFF_FFFF
                assert place <= len(stream), "a hole: the capture missed a segment"
                stream[place : place + len(payload)] = payload
            yield bytes(stream)


@asynccontextmanager
async def capturing(*ports: int) -> AsyncGenerator[Capture]:
    """Capture while the block runs; whatever was sent in it has been taken when it ends."""
    capture = Capture(set(ports))
    with _packet_socket() as sock:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_listen, sock, capture)
            yield capture
            nursery.cancel_scope.cancel()
        _take_waiting(sock, capture)
        dropped = int.from_bytes(sock.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8)[4:], "little")
    assert not dropped, f"the capture lost {dropped} packets"


def _packet_socket() -> socket.socket:
    if not hasattr(socket, "AF_PACKET"):
        require_or_skip("packets are captured on Linux only")
    try:
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
    except PermissionError:
        require_or_skip("capturing needs root or CAP_NET_RAW")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
    with suppress(PermissionError):  # the smaller buffer may do; what it loses is counted
        sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_BYTES)
    sock.bind(("lo", 0))
    sock.setblocking(False)
    return sock


async def _listen(sock: socket.socket, capture: Capture) -> None:
    while True:
        await trio.lowlevel.wait_readable(sock)
        _take_waiting(sock, capture)


def _take_waiting(sock: socket.socket, capture: Capture) -> None:
    while True:
        try:
            frame, address = sock.recvfrom(1 << 18)
        except BlockingIOError:
            return
        if address[2] == _PACKET_HOST:  # loopback shows each packet twice: going out, and coming in
            capture.take(frame)


# --- what must not be seen ----------------------------------------------------------------------


class Detector:
    """Finds runs of the source's bytes, and secrets in every spelling."""

    def __init__(self) -> None:
        self._runs: set[bytes] = set()
        self._secrets: dict[bytes, str] = {}

    def add_source(self, *parts: bytes) -> None:
        """Look for every run of these bytes that is long and varied enough."""
        for part in parts:
            self._runs.update(run for run in _runs(part) if len(set(run)) >= RUN_VALUES)

    def add_text(self, name: str, text: str) -> None:
        """Look for a text in any case, with and without dashes, and for its encodings."""
        for each in {text, text.replace("-", ""), text.lower(), text.replace("-", "").lower()}:
            self._add(name, each.encode())

    def add_bytes(self, name: str, secret: bytes) -> None:
        """Look for bytes, and for their encodings."""
        self._add(name, secret)

    def _add(self, name: str, secret: bytes) -> None:
        coded = base64.b64encode(secret).rstrip(b"=")
        spellings = (secret, secret.hex().encode(), secret.hex().upper().encode(), coded, coded.translate(_URL))
        for each in spellings:
            self._secrets[each] = name

    def findings(self, payloads: Iterable[bytes]) -> set[str]:
        """Return what was seen: names of secrets, and "source" for a run."""
        found: set[str] = set()
        for payload in payloads:
            found.update(name for secret, name in self._secrets.items() if secret in payload)
            if not self._runs.isdisjoint(_runs(payload)):
                found.add("source")
        return found


_URL: Final = bytes.maketrans(b"+/", b"-_")


def _runs(data: bytes) -> Iterator[bytes]:
    return (data[start : start + RUN_BYTES] for start in range(len(data) - RUN_BYTES + 1))
