"""What stands side by side in a buffer becomes trains, and loses nothing; what the system has is asked once."""

import errno
import socket
import sys
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nodes.carriers import offload
from nodes.carriers.offload import MAX_SEGMENTS, MAX_TRAIN_BYTES, Offload, Piece, joined
from nodes.carriers.sockets import SockAddr, to_address
from protocols.guards.address import Address
from protocols.link.train import Train

A: SockAddr = ("127.0.0.1", 1)
B: SockAddr = ("127.0.0.1", 2)
Datagrams = list[tuple[Address | None, bytes]]


def cut(data: bytes, segment_bytes: int, address: Address | None) -> Datagrams:
    return [(address, data[at : at + segment_bytes]) for at in range(0, len(data), segment_bytes)]


def datagrams_of(trains: list[Train]) -> Datagrams:
    return [datagram for data, length, address in trains for datagram in cut(bytes(data), length, address)]


def shapes(trains: list[Train]) -> list[tuple[int, int]]:
    return [(len(train.data), train.segment_bytes) for train in trains]


@st.composite
def pieces(draw: st.DrawFn) -> list[Piece]:
    found: list[Piece] = []
    for _ in range(draw(st.integers(0, 12))):
        length = draw(st.sampled_from([1, 2, 3, 100, 1_244, 1_400, 40_000]))
        most = min(draw(st.sampled_from([1, 2, 64, 128])) * length, 65_507)
        found.append((draw(st.integers(1, most)), length, draw(st.sampled_from([A, B]))))
    return [(count, min(length, count), peer) for count, length, peer in found]


@given(pieces())
@example([(193, 3, A)])  # what is left beyond 64 segments may be a short one alone
def test_trains_hold_what_arrived(found: list[Piece]) -> None:
    data = bytes(number % 251 for number in range(sum(count for count, _, _ in found)))
    wanted: Datagrams = []
    start = 0
    for count, length, peer in found:
        wanted += cut(data[start : start + count], length, to_address(peer))
        start += count
    trains = joined(memoryview(data), found, to_address)
    assert datagrams_of(trains) == wanted
    for train in trains:
        assert train.segment_bytes > 0
        assert len(train.data) <= MAX_TRAIN_BYTES
        assert 1 <= train.segments <= MAX_SEGMENTS


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        ([], []),
        ([(100, 100, A)] * 3, [(300, 100)]),
        ([(100, 100, A), (100, 100, A), (30, 30, A), (30, 30, A)], [(230, 100), (30, 30)]),
        ([(100, 100, A), (101, 101, A)], [(100, 100), (101, 101)]),
        ([(100, 100, A), (100, 100, B), (100, 100, A)], [(100, 100)] * 3),
        ([(250, 100, A), (100, 100, A)], [(250, 100), (100, 100)]),
        ([(200, 100, A), (250, 100, A), (100, 100, A)], [(450, 100), (100, 100)]),
        ([(100, 100, A)] * 65, [(6_400, 100), (100, 100)]),
        ([(12_800, 100, A)], [(6_400, 100), (6_400, 100)]),
        ([(40_000, 40_000, A)] * 2, [(40_000, 40_000)] * 2),
        ([(64_688, 1_244, A)] * 2, [(64_688, 1_244)] * 2),
    ],
)
def test_trains_are_as_long_as_may_be(found: list[Piece], wanted: list[tuple[int, int]]) -> None:
    view = memoryview(bytes(sum(count for count, _, _ in found)))
    assert shapes(joined(view, found, to_address)) == wanted


# --- what there is --------------------------------------------------------------------------------


def _fresh() -> Offload:
    return offload.available.__wrapped__()


class Refusing(socket.socket):
    """A socket without some options."""

    without: tuple[int, ...] = ()

    def setsockopt(self, *arguments: Any) -> None:
        if arguments[1] in self.without:
            raise OSError(errno.ENOPROTOOPT, "Protocol not available")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has it")
@pytest.mark.parametrize(
    ("without", "left"), [((103,), Offload.RECEIVE), ((104,), Offload.SEND), ((103, 104), Offload.NONE)]
)
def test_each_is_asked_for_on_its_own(without: tuple[int, ...], left: Offload, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Refusing, "without", without)
    monkeypatch.setattr(socket, "socket", Refusing)
    assert _fresh() is left


def test_elsewhere_there_is_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "plan9")
    assert _fresh() is Offload.NONE
