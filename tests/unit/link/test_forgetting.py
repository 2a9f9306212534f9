"""What a handshake derives does not outlive it, but for its transport keys (LK-74)."""

import gc
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from unittest.mock import patch

import pytest

from protocols.crypto.hashes import Hash
from protocols.crypto.suites import SUITES, Suite
from tests.machines import config, datagram_link, datagram_scene, open_pairing, pair_over, stream_link

BY_SUITE = pytest.mark.parametrize("suite", SUITES.values(), ids=lambda suite: suite.name)


@contextmanager
def derived() -> Generator[list[bytes]]:
    """Gather every chaining and cipher key that is made meanwhile; each is held once, by the list."""
    outputs = list[bytes]()
    mix: Callable[[Hash, bytes, bytes, int], tuple[bytes, ...]] = Hash.mix

    def spy(self: Hash, chaining_key: bytes, ikm: bytes, count: int) -> tuple[bytes, ...]:
        made = mix(self, chaining_key, ikm, count)
        outputs.extend(made)
        return made

    with patch.object(Hash, "mix", spy):
        yield outputs


def held(outputs: list[bytes]) -> list[int]:
    """Places of those that somebody else holds too."""
    gc.collect()
    alone = sys.getrefcount([bytes(32)][0]) + 1  # the list's, and the argument's
    return [place for place in range(len(outputs)) if sys.getrefcount(outputs[place]) > alone]


@BY_SUITE
@pytest.mark.parametrize("make", [datagram_link, stream_link])
def test_lk_74_an_idle_link_holds_the_two_keys_of_split_and_no_other(make: Callable[..., object], suite: Suite) -> None:
    """No chaining key, no cipher key of the handshake: only what Split() gave, at both ends, in their AEADs."""
    with derived() as outputs:
        link = make(suite)
        split = {len(outputs) - 2, len(outputs) - 1}  # the initiator is done last
        found = held(outputs)
    assert link is not None
    ours, theirs = found[:2], found[2:]
    assert set(theirs) == split
    assert sorted(outputs[place] for place in ours) == sorted(outputs[place] for place in theirs)


def test_lk_74_nor_does_a_rekeyed_link_or_a_pairing_that_is_over() -> None:
    suite = SUITES[4]
    with derived() as outputs:
        scene = datagram_link(suite, settings=config(suite, rekey_after_s=20.0))
        made = len(outputs)
        scene.world.run_for(35.0)
        assert all(place >= made for place in held(outputs))
        assert len(held(outputs)) == 4
    with derived() as outputs:
        scene = datagram_scene(suite)
        pair_over(scene, open_pairing(scene.drone, scene.world.now))
        scene.world.run_for(60.0)
        assert outputs
        assert held(outputs) == []
