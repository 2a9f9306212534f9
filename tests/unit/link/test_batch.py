"""The batch path of the link against the one-at-a-time path: the same bytes, the same verdicts (LK-51 to LK-53)."""

import os
import random
from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise
from typing import Final

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from protocols.crypto.ciphers import AeadObject
from protocols.errors import DecryptError, KeyExhaustedError, ReplayError
from protocols.guards.address import Address, ip_address
from protocols.link import batch
from protocols.link.batch import DATAGRAM_LANE_BYTES, MAX_SEGMENTS, OVERHEAD_BYTES, STREAM_LANE_BYTES, Lane, Lanes
from protocols.link.config import LinkConfig
from protocols.link.handshake import SessionKeys
from protocols.link.session import DatagramSession, RecordSession, Session
from protocols.link.train import Train

PEER: Final = ip_address("192.0.2.1", 9)
CIPHERS: Final = ("AESGCM", "ChaChaPoly")
SHAPES: Final[dict[str, list[int]]] = {
    "one": [100],
    "one large": [60_000],
    "full": [1_212] * 52,
    "shorter last": [1_212] * 40 + [7],
    "shorter last that only just fits": [1_283] * 49 + [1_069],
    "longer last": [64] * 9 + [65],
    "falling": [300, 200, 200, 100, 100, 100],
    "more than a lane": [1_283] * 51,
    "empty": [0, 0, 0, 0],
    "odd": [5, 5, 9, 1, 1, 7, 7, 7, 7, 2],
    "most segments": [16] * MAX_SEGMENTS,
    "more than a train": [16] * (MAX_SEGMENTS + 1),
    "more runs than lanes": [9, 9, 8, 30, 30, 29, 50, 50, 49],
}


def keys(cipher: str) -> tuple[SessionKeys, SessionKeys]:
    there, back = bytes(range(32)), bytes(range(32, 64))
    return SessionKeys(cipher, there, back, bytes(32)), SessionKeys(cipher, back, there, bytes(32))


def datagrams(cipher: str = "AESGCM", config: LinkConfig | None = None) -> tuple[DatagramSession, DatagramSession]:
    """A sealing and an opening end."""
    ours, theirs = keys(cipher)
    config = config or LinkConfig()
    return (
        DatagramSession(ours, config, index=7, peer_index=8, epoch=0, now=0.0),
        DatagramSession(theirs, config, index=8, peer_index=7, epoch=0, now=0.0),
    )


def records(cipher: str = "AESGCM", config: LinkConfig | None = None) -> tuple[RecordSession, RecordSession]:
    ours, theirs = keys(cipher)
    config = config or LinkConfig()
    return (
        RecordSession(ours, config, index=7, peer_index=8, epoch=3, now=0.0),
        RecordSession(theirs, config, index=8, peer_index=7, epoch=3, now=0.0),
    )


def frames_of(shape: Sequence[int]) -> list[bytes]:
    dice = random.Random(str(shape))
    return [dice.randbytes(size) for size in shape]


def split(train: Train) -> list[bytes]:
    return [bytes(train.data[at : at + train.segment_bytes]) for at in range(0, len(train.data), train.segment_bytes)]


def lanes(count: int = 2) -> Lanes:
    return Lanes(DATAGRAM_LANE_BYTES, count)


# --- sealing -------------------------------------------------------------------------------------


@pytest.mark.parametrize("cipher", CIPHERS)
@pytest.mark.parametrize("shape", SHAPES)
def test_trains_hold_what_one_at_a_time_seals(shape: str, cipher: str) -> None:
    """Byte for byte, twice in a row: a reused lane shows nothing of what it held before."""
    batched, single = datagrams(cipher)[0], datagrams(cipher)[0]
    room = lanes()
    for _ in range(2):
        room.reset()
        frames = frames_of(SHAPES[shape])
        sealed = [each for train in batched.seal_trains(frames, room, PEER) for each in split(train)]
        assert sealed == [single.seal(frame) for frame in frames]
    assert batched.sent == single.sent == 2 * len(SHAPES[shape])


@pytest.mark.parametrize("shape", SHAPES)
def test_a_run_is_of_one_length_but_for_its_last(shape: str) -> None:
    frames = frames_of(SHAPES[shape])
    runs = [list(run) for run in batch.runs_of(frames)]
    assert [frame for run in runs for frame in run] == frames
    for run in runs:
        assert len({len(frame) for frame in run[:-1]}) <= 1
        assert len(run[-1]) <= len(run[0])


def test_trains_say_where_they_go_and_how_long_their_datagrams_are() -> None:
    (train,) = datagrams()[0].seal_trains(frames_of([300] * 4 + [20]), lanes(), PEER)
    assert (train.segment_bytes, train.address, train.segments) == (300 + OVERHEAD_BYTES, PEER, 5)


def test_frames_without_a_lane_are_sealed_nevertheless() -> None:
    room = lanes(0)
    sealed = list(datagrams()[0].seal_trains(frames_of([50] * 5), room, PEER))
    assert [len(train.data) for train in sealed] == [50 + OVERHEAD_BYTES] * 5


@pytest.mark.parametrize("make", [datagrams, records])
def test_a_key_seals_no_more_than_it_may(make: Callable[..., tuple[Session, Session]]) -> None:
    """All or nothing: a counter is never used twice, and none is lost."""
    sealing = make(config=LinkConfig(rekey_after_messages=5, refuse_after_messages=10))[0]
    list(sealing.seal_trains(frames_of([9] * 8), lanes(), None))
    assert sealing.seals_left == 2
    with pytest.raises(KeyExhaustedError):
        list(sealing.seal_trains(frames_of([9] * 3), lanes(), None))
    assert sealing.seals_left == 2


@pytest.mark.parametrize("cipher", CIPHERS)
@pytest.mark.parametrize("sizes", [[10], [0, 5], [65_519] * 3, [65_519] * 5, [30_000, 4_000, 65_519]])
def test_records_of_a_batch_are_those_of_one_at_a_time(sizes: list[int], cipher: str) -> None:
    """Also where they do not fit the lane."""
    batched, single = records(cipher)[0], records(cipher)[0]
    room = Lanes(STREAM_LANE_BYTES, 1)
    for _ in range(2):
        room.reset()
        frames = frames_of(sizes)
        (train,) = batched.seal_trains(frames, room, None)
        assert bytes(train.data) == b"".join(single.seal(frame) for frame in frames)
        assert train.segments == 1


# --- opening -------------------------------------------------------------------------------------


def sealed_train(shape: Sequence[int], cipher: str = "AESGCM", *, skip: int = 0) -> tuple[Train, DatagramSession]:
    """A train, and the session that opens it."""
    sealing, opening = datagrams(cipher)
    for _ in range(skip):
        sealing.seal(b"")
    data = b"".join(sealing.seal(frame) for frame in frames_of(shape))
    return Train(data, shape[0] + OVERHEAD_BYTES, PEER), opening


def opened(session: DatagramSession, train: Train) -> list[bytes] | None:
    seen = batch.counters_untrusted(train.data, train.segment_bytes)
    if seen is None:
        return None
    return session.open_run_untrusted(train.data, train.segment_bytes, seen[1], Lane(DATAGRAM_LANE_BYTES))


ONE_RUN: Final = (
    "one",
    "one large",
    "full",
    "shorter last",
    "shorter last that only just fits",
    "most segments",
    "empty",
)


@pytest.mark.parametrize("cipher", CIPHERS)
@pytest.mark.parametrize("shape", ONE_RUN)
def test_a_train_opens_as_its_datagrams_do(shape: str, cipher: str) -> None:
    train, opening = sealed_train(SHAPES[shape], cipher, skip=3)
    assert opened(opening, train) == frames_of(SHAPES[shape])
    assert opening.received == len(SHAPES[shape])
    for datagram in split(train):  # and each has been seen
        with pytest.raises(ReplayError):
            opening.open_untrusted(datagram)


def refusals() -> dict[str, list[bytes]]:
    """Trains that are no run in order."""
    good = split(sealed_train([100] * 6)[0])
    tampered = [*good[:3], good[3][:-1] + bytes((good[3][-1] ^ 1,)), *good[4:]]
    return {
        "a gap": good[:2] + good[3:],
        "a copy": [*good[:3], *good[2:5]],
        "out of order": [good[1], good[0], *good[2:]],
        "another receiver": [*good[:5], b"\4\0\0\0\0\0\0\x09" + good[5][8:]],
        "reserved bytes": [*good[:5], b"\4\0\1\0" + good[5][4:]],
        "a wrong tag": tampered,
        "a wrong tag at the end": [*good[:5], good[5][:-1] + bytes((good[5][-1] ^ 1,))],
        "a last one that is too short": [*good[:5], good[5][: OVERHEAD_BYTES - 1]],
        "too many": good * 11,
    }


@pytest.mark.parametrize("name", refusals())
def test_what_is_no_genuine_run_changes_nothing(name: str) -> None:
    """And then every datagram is judged alone: the good ones open."""
    datagrams_ = refusals()[name]
    _, opening = sealed_train([100] * 6)
    before: tuple[int, int, int] = (opening.window.highest, opening.received, opening.failed_opens)
    assert opened(opening, Train(b"".join(datagrams_), len(datagrams_[0]), PEER)) is None
    assert (opening.window.highest, opening.received, opening.failed_opens) == before
    verdicts: list[bytes] = []
    for datagram in datagrams_:
        try:
            verdicts.append(opening.open_untrusted(datagram))
        except (ReplayError, DecryptError) as error:
            verdicts.append(type(error).__name__.encode())
    assert sum(verdict in frames_of([100] * 6) for verdict in verdicts) >= 5 - (name == "a copy")


def test_a_run_that_was_seen_does_not_open_again() -> None:
    train, opening = sealed_train([64] * 8)
    assert opened(opening, train) is not None
    assert opened(opening, train) is None
    assert opening.failed_opens == 0


def test_a_train_beyond_the_limit_of_the_key_does_not_open() -> None:
    sealing, _ = datagrams()
    config = LinkConfig(rekey_after_messages=4, refuse_after_messages=6)
    opening = DatagramSession(keys("AESGCM")[1], config, index=8, peer_index=7, epoch=0, now=0.0)
    data = b"".join(sealing.seal(frame) for frame in frames_of([40] * 7))
    assert opened(opening, Train(data, 40 + OVERHEAD_BYTES, PEER)) is None
    assert opening.window.highest == -1


def test_headers_that_are_none_are_no_run() -> None:
    assert batch.counters_untrusted(bytes(31 * 4), 31) is None
    assert batch.counters_untrusted(bytes(64), OVERHEAD_BYTES) == (bytes(8), (0, 0))


def test_lanes_keep_few_lengths() -> None:
    """A peer that varies its lengths does not grow us."""
    lane = Lane(DATAGRAM_LANE_BYTES)
    kept = [lane.slots(length) for length in range(OVERHEAD_BYTES, OVERHEAD_BYTES + 40)]
    assert lane.slots(OVERHEAD_BYTES + 39) is kept[-1]
    assert lane.slots(OVERHEAD_BYTES) is not kept[0]


def test_only_who_has_the_key_makes_a_lane_cut_slices() -> None:
    """A forged train of a new length costs a failed tag, and takes nothing from the lengths in use."""
    train, opening = sealed_train([64] * 8)
    lane = Lane(DATAGRAM_LANE_BYTES)
    seen = batch.counters_untrusted(train.data, train.segment_bytes)
    assert seen is not None
    assert opening.open_run_untrusted(train.data, train.segment_bytes, seen[1], lane) == frames_of([64] * 8)
    for length in range(OVERHEAD_BYTES, OVERHEAD_BYTES + 40):
        forged = b"".join(bytes(train.data[:8]) + at.to_bytes(8, "big") + bytes(length - 16) for at in range(8, 12))
        if length != train.segment_bytes:
            assert opening.open_run_untrusted(forged, length, (8, 9, 10, 11), lane) is None
            assert not lane.has_slots(length)
    assert lane.has_slots(train.segment_bytes)


# --- what ``cryptography`` does not check ----------------------------------------------------------


@pytest.mark.parametrize("algorithm", [AESGCM, ChaCha20Poly1305])
def test_into_needs_buffers_that_start_together_or_do_not_overlap(algorithm: type[AESGCM]) -> None:
    """Partly overlapping slices give wrong bytes silently: why sealing here never reads from a lane."""
    aead: AeadObject = algorithm(bytes(32))
    nonce, frame = bytes(12), bytes(range(256)) * 4
    right = aead.encrypt(nonce, frame, b"")
    for shift, fits in ((0, True), (len(right), True), (7, False), (129, False)):
        buffer = bytearray(len(frame) + shift + len(right))
        view = memoryview(buffer)
        view[shift : shift + len(frame)] = frame
        source = view[shift : shift + len(frame)]
        target = view[: len(right)]
        if shift:  # input behind the output, or output behind the input
            view[: len(frame)] = frame
            source, target = view[: len(frame)], view[shift : shift + len(right)]
        aead.encrypt_into(nonce, source, b"", target)
        assert (bytes(target) == right) is fits, shift


def test_lanes_never_overlap_what_is_sealed_into_them() -> None:
    """Frames are objects of their own; slots of one length are disjoint and lie in order."""
    slots = Lane(DATAGRAM_LANE_BYTES).slots(1_244)
    sizes = [len(part) for pair in zip(slots.headers, slots.bodies, strict=True) for part in pair]
    assert sizes == [16, 1_228] * 52
    assert sum(sizes) <= DATAGRAM_LANE_BYTES
    assert [end - start for start, end in pairwise(accumulate(sizes, initial=0))] == sizes


def test_an_address_stays_with_its_train() -> None:
    elsewhere: Address = ip_address("192.0.2.2", 9)
    assert {train.address for train in datagrams()[0].seal_trains([os.urandom(9)] * 3, lanes(), elsewhere)} == {
        elsewhere
    }
