"""Addresses: one form each, encodings that never collide, and whom a bucket counts."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.errors import UsageError
from protocols.guards.address import (
    Address,
    AddressKind,
    encode_address,
    ip_address,
    local_address,
    relay_address,
    source_key,
)

KEY_ID = bytes(range(16))
u32 = st.integers(0, 2**32 - 1)
addresses = st.one_of(
    st.builds(ip_address, st.ip_addresses().map(str), st.integers(0, 65_535)),
    st.builds(relay_address, st.binary(min_size=16, max_size=16), u32),
    st.builds(local_address, st.text(max_size=60), u32),
)


@settings(deadline=None)
@given(addresses, addresses)
def test_equal_bytes_mean_equal_addresses(one: Address, other: Address) -> None:
    assert (encode_address(one) == encode_address(other)) is (one == other)


@settings(deadline=None)
@given(addresses)
def test_addresses_have_a_text(address: Address) -> None:
    assert str(address)


def test_texts() -> None:
    assert str(ip_address("192.0.2.1", 14550)) == "192.0.2.1:14550"
    assert str(ip_address("2001:db8::1", 14550)) == "[2001:db8::1]:14550"
    assert str(ip_address("fe80::1%eth0", 1, scope=2)) == "[fe80::1%2]:1"
    assert str(relay_address(KEY_ID, 3)) == f"relay {KEY_ID.hex()} flow 3"
    assert str(local_address("drone")) == "drone:0"


def test_ipv4_mapped_is_ipv4() -> None:
    assert ip_address("::ffff:192.0.2.1", 5) == ip_address("192.0.2.1", 5)


def test_a_bucket_counts_hosts_and_networks() -> None:
    assert source_key(ip_address("192.0.2.1", 5)) == source_key(ip_address("192.0.2.1", 6))
    assert source_key(ip_address("192.0.2.1", 5)) != source_key(ip_address("192.0.2.2", 5))
    assert source_key(ip_address("2001:db8::1", 5)) == source_key(ip_address("2001:db8::ffff:0:0:1", 6))
    assert source_key(ip_address("2001:db8::1", 5)) != source_key(ip_address("2001:db8:0:1::1", 5))
    assert source_key(relay_address(KEY_ID, 1)) != source_key(relay_address(KEY_ID, 2))
    assert source_key(local_address("a", 1)) == source_key(local_address("a", 2))
    assert source_key(local_address("a")) != source_key(local_address("b"))


def test_kinds_do_not_meet() -> None:
    local = Address(AddressKind.LOCAL, bytes(4), 0)
    assert encode_address(local) != encode_address(Address(AddressKind.IPV4, bytes(4), 0))
    assert source_key(local) != source_key(Address(AddressKind.IPV4, bytes(4), 0))


@pytest.mark.parametrize(
    ("host", "port", "scope"),
    [("drone.local", 1, 0), ("", 1, 0), ("::", 65_536, 0), ("::", -1, 0), ("::", 1, 2**32)],
)
def test_refuses_what_is_no_socket_address(host: str, port: int, scope: int) -> None:
    with pytest.raises(UsageError):
        ip_address(host, port, scope)


def test_refuses_what_is_no_relay_or_local_address() -> None:
    with pytest.raises(UsageError):
        relay_address(bytes(15), 0)
    with pytest.raises(UsageError):
        relay_address(KEY_ID, 2**32)
    with pytest.raises(UsageError):
        local_address("x" * 256)
    with pytest.raises(UsageError):
        local_address("x", -1)
