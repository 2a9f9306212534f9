"""StaticAgreements: bounded, forgotten when told, silent (docs/adr/0006); and parsed public keys, once each."""

import pytest

from protocols.crypto import dh as dh_module
from protocols.crypto import kem as kem_module
from protocols.crypto.agreements import MAX_AGREEMENTS, StaticAgreements
from protocols.crypto.dh import DH_FUNCTIONS, DhFunction
from protocols.crypto.kem import KEMS
from protocols.errors import BadPublicKeyError

OWN, SECRET = b"own key", b"the secret of this pair" + bytes(9)


def keep(table: StaticAgreements, peer: bytes, secret: bytes = SECRET, own: bytes = OWN) -> None:
    table.keep(own, peer, secret, key_id=b"id of " + peer, mark=table.mark)


def test_what_was_kept_is_found_by_both_keys() -> None:
    table = StaticAgreements()
    keep(table, b"a")
    assert table.find(OWN, b"a") == SECRET
    assert table.find(OWN, b"b") is None
    assert table.find(b"another key of ours", b"a") is None
    assert table.find(b"a", OWN) is None


def test_the_pair_whose_last_handshake_is_longest_ago_goes() -> None:
    table = StaticAgreements(limit=2)
    for peer in (b"a", b"b", b"a", b"c"):
        keep(table, peer)
    assert [table.find(OWN, peer) is not None for peer in (b"a", b"b", b"c")] == [True, False, True]
    assert len(table) == 2


def test_the_limit_of_a_node() -> None:
    table = StaticAgreements()
    for number in range(MAX_AGREEMENTS + 5):
        keep(table, number.to_bytes(4, "big"))
    assert len(table) == MAX_AGREEMENTS


def test_a_dropped_peer_is_forgotten_under_all_of_our_keys_and_no_other_is() -> None:
    table = StaticAgreements()
    keep(table, b"a")
    keep(table, b"a", own=b"another key of ours")
    keep(table, b"b")
    table.drop(b"id of a")
    assert len(table) == 1
    assert table.find(OWN, b"b") == SECRET


def test_what_was_begun_before_a_drop_is_not_kept_after_it() -> None:
    """A job may be at work while its peer is revoked; it does not say which peer the drop was about."""
    table = StaticAgreements()
    mark = table.mark
    table.drop(b"id of a")
    table.keep(OWN, b"a", SECRET, key_id=b"id of a", mark=mark)
    assert len(table) == 0
    keep(table, b"a")
    assert len(table) == 1


def test_after_the_end_nothing_is_there_and_nothing_gets_in() -> None:
    table = StaticAgreements()
    keep(table, b"a")
    table.close()
    keep(table, b"b")
    assert (len(table), table.find(OWN, b"a"), table.find(OWN, b"b")) == (0, None, None)


def test_it_shows_how_many_and_nothing_else() -> None:
    table = StaticAgreements()
    keep(table, b"a")
    assert repr(table) == str(table) == "<StaticAgreements of 1 pairs>"
    assert not hasattr(table, "__dict__")


# --- parsed public keys ---------------------------------------------------------------------------

PARSERS = {"25519": dh_module._x25519, "448": dh_module._x448, "P256": dh_module.parse_p256_point}  # pyright: ignore[reportPrivateUsage]
rows = pytest.mark.parametrize("row", DH_FUNCTIONS.values(), ids=list(DH_FUNCTIONS))


@rows
def test_a_public_key_is_parsed_once(row: DhFunction) -> None:
    parse = PARSERS[row.name]
    parse.cache_clear()
    one, two, peer = row.generate(), row.generate(), row.generate().public
    for key in (one, two, one):
        row.check_public(peer)
        key.exchange(bytes(bytearray(peer)))
    assert parse.cache_info().misses == 1


@rows
def test_what_is_no_key_is_not_kept(row: DhFunction) -> None:
    parse = PARSERS[row.name]
    parse.cache_clear()
    key, bad = row.generate(), b"\x04" + bytes(row.public_length)
    for _ in range(2):
        with pytest.raises(BadPublicKeyError):
            key.exchange(bad)
    assert parse.cache_info().currsize == 0


@rows
def test_strangers_keys_do_not_fill_the_memory(row: DhFunction) -> None:
    parse = PARSERS[row.name]
    limit = parse.cache_info().maxsize
    assert limit is not None
    for _ in range(limit + 5):
        parse(row.generate().public)
    assert parse.cache_info().currsize == limit


@pytest.mark.parametrize("name", ["25519", "448"])
def test_a_point_of_low_order_is_refused_each_time(name: str) -> None:
    """It parses, and is remembered as a public key; no agreement with it ever succeeds (RFC 7748, 6.1)."""
    row = DH_FUNCTIONS[name]
    key = row.generate()
    for _ in range(2):
        with pytest.raises(BadPublicKeyError):
            key.exchange(bytes(row.public_length))


def test_an_encapsulation_key_is_parsed_once_and_a_bad_one_never_kept() -> None:
    parse = kem_module._parse  # pyright: ignore[reportPrivateUsage]
    parse.cache_clear()
    row = KEMS["MLKEM768"]
    key = row.generate()
    row.check_public(key.public)
    secret, ciphertext = row.encapsulate(key.public)
    assert key.decapsulate(ciphertext) == secret
    assert parse.cache_info().misses == 1
    assert row.encapsulate(key.public) != (secret, ciphertext)
    for _ in range(2):
        with pytest.raises(BadPublicKeyError):
            row.check_public(b"\xff" * row.public_length)
    assert parse.cache_info().currsize == 1
