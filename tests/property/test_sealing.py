"""Sealed logs under any change: refused, with one of our errors, and nothing of the content comes out."""

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.errors import AuthenticationError, PeerError, PolicyError
from protocols.sealing import HEADER_BYTES, MIN_SEALED_BYTES, TRAILER_BYTES, cloud_key_id_of, seal_log
from protocols.unsealing import LogOpener, LogVerifier, VerifiedLog
from specs.sealed_log import CHUNK_BYTES
from tests.conftest import examples
from tests.helpers.sealed import CLOUD, DRONE, content, ends_of, opened, sealed, sealer

REFUSED = (PeerError, AuthenticationError, PolicyError)
SMALL = sealed(40)
LARGE = sealed(CHUNK_BYTES + 40)


@pytest.mark.parametrize("log", [SMALL, LARGE], ids=["one chunk", "two chunks"])
@settings(deadline=None, max_examples=examples(100))
@given(data=st.data())
def test_any_flipped_bits_are_refused(log: bytes, data: st.DataObject) -> None:
    """SL-20, SL-22: everywhere, alone and together."""
    bits = data.draw(st.sets(st.integers(0, 8 * len(log) - 1), min_size=1, max_size=4))
    changed = bytearray(log)
    for bit in bits:
        changed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(REFUSED):
        opened(bytes(changed))


@pytest.mark.parametrize("at", range(0, len(SMALL), 7))
def test_a_changed_byte_at_every_seventh_place_is_refused(at: int) -> None:
    """The same without chance: no region is left out."""
    changed = bytearray(SMALL)
    changed[at] ^= 0xFF
    with pytest.raises(REFUSED):
        opened(bytes(changed))


@settings(deadline=None, max_examples=examples(70))
@given(st.integers(0, len(LARGE) - 1), st.integers(0, len(LARGE)), st.binary(max_size=40))
def test_any_splice_is_refused(first: int, second: int, between: bytes) -> None:
    """SL-1, SL-13: a part left out, repeated or replaced."""
    changed = LARGE[:first] + between + LARGE[second:]
    if changed != LARGE:
        with pytest.raises(REFUSED):
            opened(changed)


@settings(deadline=None, max_examples=examples(100))
@given(
    st.binary(max_size=2 * MIN_SEALED_BYTES)
    | st.binary(min_size=MIN_SEALED_BYTES, max_size=MIN_SEALED_BYTES + 64).map(lambda rest: SMALL[:60] + rest[60:])
    | st.binary(min_size=0, max_size=100).map(lambda chunk: SMALL[:HEADER_BYTES] + chunk + SMALL[-TRAILER_BYTES:])
)
def test_hostile_bytes_are_no_log(data: bytes) -> None:
    """SL-4: what the parser sees of a stranger ends in an error of the peer's, and in no other."""
    if data == SMALL:
        return
    with pytest.raises(REFUSED):
        opened(data)


@settings(deadline=None, max_examples=examples(20))
@given(st.lists(st.binary(max_size=40) | st.integers(60_000, 140_000).map(bytes), max_size=4))
def test_however_content_comes_it_is_one_log(pieces: Sequence[bytes]) -> None:
    """SL-2, SL-13: pieces have nothing to do with chunks."""
    maker = sealer()
    log = maker.begin() + b"".join([maker.update(piece) for piece in pieces]) + maker.finish()
    whole = b"".join(pieces)
    assert opened(log)[1] == whole
    at_once = seal_log(whole, sealer())
    assert ends_of(log).info == ends_of(at_once).info
    assert log[HEADER_BYTES:-TRAILER_BYTES] == at_once[HEADER_BYTES:-TRAILER_BYTES]


def _verified(log: bytes) -> VerifiedLog:
    verifier = LogVerifier(ends_of(log), [DRONE.known], [cloud_key_id_of(CLOUD.public)])
    verifier.update_untrusted(log[:-TRAILER_BYTES])
    return verifier.finish_untrusted()


@settings(deadline=None, max_examples=examples(20))
@given(st.lists(st.integers(0, len(LARGE) - TRAILER_BYTES), max_size=6).map(sorted))
def test_however_a_log_is_read_it_is_one_content(cuts: list[int]) -> None:
    """SL-4, SL-24: any pieces, none of them empty or all of them."""
    signed = LARGE[:-TRAILER_BYTES]
    opener = LogOpener(_verified(LARGE), CLOUD)
    edges = [0, *cuts, len(signed)]
    found = b"".join([opener.update_untrusted(signed[a:b]) for a, b in pairwise(edges)])
    opener.finish_untrusted()
    assert found == content(CHUNK_BYTES + 40)
