"""A deadline that has come is acted upon: with floats, ``now - begin >= span`` and ``now >= begin + span`` differ."""

from protocols.link.config import LinkConfig
from protocols.link.handshake import SessionKeys
from protocols.link.session import DatagramSession

KEYS = SessionKeys("AESGCM", bytes(32), bytes(32), bytes(32))


def test_a_key_is_due_at_its_deadline_to_the_last_bit() -> None:
    """Else whoever sleeps until the deadline wakes, does nothing, and sleeps until the deadline."""
    config = LinkConfig()
    times = [1_000.0 + step / 7 for step in range(5_000)]
    assert any(begin + config.rekey_after_s - begin < config.rekey_after_s for begin in times)
    for begin in times:
        session = DatagramSession(KEYS, config, index=1, peer_index=2, epoch=0, now=begin)
        assert session.rekey_due(begin + config.rekey_after_s)
        assert not session.usable(begin + config.refuse_after_s)
