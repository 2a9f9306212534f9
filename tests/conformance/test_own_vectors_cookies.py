"""specs/vectors: cookies and refusals (specs/1-link.md, 1.3 and 1.6)."""

from dataclasses import replace

import pytest

from protocols import codec
from protocols.errors import AerolinkError, DecryptError, MalformedError
from protocols.events import LinkDown
from protocols.guards import cookie as guard
from protocols.guards.address import Address, AddressKind, encode_address
from protocols.link.framing import DatagramFraming, RecordFraming, open_refused_untrusted
from specs.datagram import COOKIE_REPLY, REFUSED
from specs.registry import HANDSHAKE_RETRY_S, RefusalCode
from tests.tools.own_vectors import Vector, each, named
from tests.tools.replay import CONFIG, Entropy, Initiating, Responding, hexes

UNDER_LOAD = replace(CONFIG, load_initiations_per_s=0.001)


def address_of(vector: Vector) -> Address:
    where = vector["address"]
    return Address(AddressKind(where["kind"]), bytes.fromhex(where["host"]), where["port"], where["scope"])


def loaded(vector: Vector) -> tuple[Responding, Address]:
    """Return a listener in load mode: it has taken the first initiation, and that was its last token."""
    base, address = named("handshake", vector["handshake"]), address_of(vector)
    blocks = [bytes(32), *hexes(vector, "secret", "salt")]
    party = Responding(base, stream=False, blocks=blocks, indices=[77], config=UNDER_LOAD, again=2)
    (response,) = party.feed(bytes.fromhex(base["datagrams"]["initiation"]), address)
    assert response.hex() == base["datagrams"]["response"]
    return party, address


@pytest.mark.parametrize("vector", each("cookie"))
def test_cookie(vector: Vector) -> None:
    """LK-20 to LK-24, part by part."""
    address = address_of(vector)
    secret, cookie, salt, reply, initiation = hexes(vector, "secret", "cookie", "salt", "reply", "initiation")
    assert encode_address(address).hex() == vector["encoded_address"]
    jar = guard.CookieJar(Entropy(blocks=[bytes(32), secret]))
    assert jar.cookie(address, 0.0) == cookie
    assert jar.verify_mac2(initiation[:-16], initiation[-16:], address, 0.0)
    assert guard.mac2(cookie, initiation[:-16]) == initiation[-16:] == bytes.fromhex(vector["mac2"])
    key = bytes.fromhex(named("handshake", vector["handshake"])["mac1_key"])
    parsed = codec.parse_untrusted(COOKIE_REPLY, reply)
    assert codec.build(COOKIE_REPLY, parsed) == reply
    sealed = guard.make_reply(key, initiation[-32:-16], cookie, salt)
    assert sealed == guard.SealedCookie(parsed.salt, parsed.sealed_cookie)
    assert guard.open_reply(key, initiation[-32:-16], sealed) == cookie


@pytest.mark.parametrize("vector", each("cookie"))
def test_listener_under_load(vector: Vector) -> None:
    """LK-22: the reply is the vector's; with the cookie, initiations are taken again."""
    party, address = loaded(vector)
    base = named("handshake", vector["handshake"])
    reply, initiation = hexes(vector, "reply", "initiation")
    assert party.feed(bytes.fromhex(base["datagrams"]["initiation"]), address) == [reply]
    assert party.machine.handshakes.public_key_jobs == 1
    assert party.feed(initiation, address) == [bytes.fromhex(base["datagrams"]["response"])]  # LK-26
    (response,) = party.feed(bytes.fromhex(vector["retry"]["datagram"]), address)
    assert len(response) == len(base["datagrams"]["response"]) // 2
    counters = party.machine.handshakes
    assert (counters.cookies_sent, counters.wrong_mac2, counters.duplicates) == (1, 1, 1)
    assert counters.public_key_jobs == 2


@pytest.mark.parametrize("vector", each("cookie"))
def test_client_uses_the_cookie(vector: Vector) -> None:
    """LK-24, LK-44: nothing is sent at once; the next initiation carries mac2, and the vector's bytes."""
    party = initiating(vector)
    assert party.feed(bytes.fromhex(vector["reply"])) == []
    assert next_initiation(party, vector).hex() == vector["retry"]["datagram"]


def initiating(vector: Vector) -> Initiating:
    party = Initiating(named("handshake", vector["handshake"]), stream=False, retry=vector["retry"])
    party.begin()
    return party


def next_initiation(party: Initiating, vector: Vector) -> bytes:
    party.now = HANDSHAKE_RETRY_S[0]
    (packet,) = party.again(vector["retry"]["initiation_counter"])
    return packet


COUNTERS = {"decrypt": "failed", "unknown index": "unknown_index", "mac2": "wrong_mac2"}


@pytest.mark.parametrize("vector", each("cookie-failure"))
def test_cookie_failure(vector: Vector) -> None:
    """A wrong reply leaves no cookie behind; a wrong mac2 gets a cookie and no public-key work."""
    good, datagram = named("cookie", vector["handshake"]), bytes.fromhex(vector["datagram"])
    if vector["message"] == "initiation":
        party, address = loaded(good)
        assert party.feed(datagram, address) == [bytes.fromhex(good["reply"])]
        assert party.machine.handshakes.wrong_mac2 == 1
        assert party.machine.handshakes.public_key_jobs == 1
        return
    client = initiating(good)
    before = client.machine.handshakes.as_dict()
    assert client.feed(datagram) == []
    after = client.machine.handshakes.as_dict()
    counter = COUNTERS.get(vector["expect"], "malformed")
    assert {name: after[name] - before[name] for name in after if after[name] != before[name]} == {counter: 1}
    assert next_initiation(client, good).hex() == good["retry"]["datagram"][:-32] + "00" * 16


# --- refusals -----------------------------------------------------------------------------------


def hint(vector: Vector, *, stream: bool) -> RefusalCode | None:
    """Return what the initiator shows when its attempt has ended (LK-61)."""
    party = Initiating(named("handshake", vector["handshake"]), stream=stream)
    party.begin()
    assert party.feed(bytes.fromhex(vector["record" if stream else "datagram"])) == []
    assert not party.seen(LinkDown)
    if stream:
        party.machine.receive_end(0.0)
    else:
        party.machine.abort()
    party.settle()
    (down,) = party.seen(LinkDown)
    found: RefusalCode | None = down.hint
    return found


@pytest.mark.parametrize("vector", each("refusal"))
def test_refusal(vector: Vector) -> None:
    """LK-60, LK-61: the same bytes from both framings; a hint for the user, and nothing else."""
    key, datagram = hexes(vector, "mac1_key", "datagram")
    code = RefusalCode(vector["code"])
    assert codec.build(REFUSED, codec.parse_untrusted(REFUSED, datagram)) == datagram
    assert open_refused_untrusted(datagram, key).code is code
    assert DatagramFraming().refused(code, vector["receiver"], key) == datagram
    assert RecordFraming().refused(code, vector["receiver"], key).hex() == vector["record"]
    assert [hint(vector, stream=stream) for stream in (False, True)] == [code, code]


@pytest.mark.parametrize("vector", each("refusal-failure"))
def test_refusal_failure(vector: Vector) -> None:
    """No hint is kept of a refusal that is none, or is somebody else's."""
    assert [hint(vector, stream=stream) for stream in (False, True)] == [None, None]
    key = bytes.fromhex(named("handshake", vector["handshake"])["mac1_key"])
    if vector["expect"] == "unknown index":
        return
    wanted: type[AerolinkError] = DecryptError if vector["expect"] == "mac1" else MalformedError
    with pytest.raises(wanted):
        open_refused_untrusted(bytes.fromhex(vector["datagram"]), key)
