"""specs/vectors: bytes <-> fields of every declaration, codes, key ids, airlink messages and maps."""

import hashlib
import typing
from dataclasses import fields, is_dataclass
from enum import IntEnum, IntFlag
from typing import Any

import pytest

import specs.datagram
import specs.inner
import specs.record
import specs.relay
from protocols import airlink, codec
from protocols.crypto.fingerprint import fingerprint_text, key_id_of, match_fingerprint, parse_fingerprint
from protocols.errors import CodeFormatError, MalformedError, UsageError
from protocols.groundlink import GROUNDLINK
from protocols.guards.cookie import mac1_key
from protocols.maps import Refusal, pack_map, pack_value, unpack_map_untrusted, unpack_value_untrusted
from protocols.messages import MessageTable
from protocols.pairing import LinkingCode
from protocols.remotelink import REMOTE_CLOUD, REMOTE_MOBILE
from specs.airlink import MESSAGES
from specs.airlink.numbers import Direction
from specs.registry import ChannelId
from specs.strict import Format
from tests.tools.make_vectors.base import is_a
from tests.tools.own_vectors import Vector, each, everything, named
from tests.tools.replay import hexes


def format_named(name: str) -> Format[Any]:
    """Return ``module.FORMAT`` below ``specs``."""
    module, _, attribute = name.partition(".")
    found: Format[Any] = getattr(getattr(specs, module), attribute)
    return found


def plain(value: Any) -> Any:
    """Return a value as the vectors write it."""
    if is_dataclass(value):
        return {each_.name: plain(getattr(value, each_.name)) for each_ in fields(value)}
    if isinstance(value, tuple):
        items: list[Any] = [*value]
        return [plain(each_) for each_ in items]
    if isinstance(value, bytes):
        return value.hex()
    return int(value) if isinstance(value, IntEnum | IntFlag) else value


def valued(kind: Any, value: Any) -> Any:
    """Return the value of a field of type ``kind`` that the vectors write so."""
    if kind is bytes:
        return bytes.fromhex(value)
    if is_dataclass(kind):
        make: Any = kind
        hints = typing.get_type_hints(kind)
        return make(**{name: valued(hints[name], each_) for name, each_ in value.items()})
    if is_a(value, list):
        return tuple(valued(typing.get_args(kind)[0], each_) for each_ in value)
    return kind(value) if issubclass(kind, IntEnum | IntFlag) else value


# --- declarations -------------------------------------------------------------------------------


def test_every_declaration_has_a_vector() -> None:
    wanted = {
        f"{module.__name__.partition('.')[2]}.{name}"
        for module in (specs.datagram, specs.record, specs.inner, specs.relay)
        for name, value in vars(module).items()
        if isinstance(value, Format)
    }
    for kind in ("format", "format-failure"):
        assert {vector["format"] for vector in everything()[kind]} == wanted


@pytest.mark.parametrize("vector", each("format"))
def test_format(vector: Vector) -> None:
    """Parse, build, and the derived struct agree with the bytes."""
    fmt, (data,) = format_named(vector["format"]), hexes(vector, "bytes")
    value = codec.parse_untrusted(fmt, data)
    assert plain(value) == vector["fields"]
    assert value == valued(fmt.type, vector["fields"])
    assert codec.build(fmt, value) == data
    try:
        unpack = codec.derive_unpack_untrusted(fmt)
    except UsageError:
        return  # of no fixed size
    found = unpack(b"before" + data + b"after", 6)
    assert list(found) == [getattr(value, each_.name) for each_ in fields(value)]


@pytest.mark.parametrize("vector", each("format-failure"))
def test_format_failure(vector: Vector) -> None:
    """One error, whatever is wrong; the derived struct refuses it too."""
    fmt, (data,) = format_named(vector["format"]), hexes(vector, "bytes")
    with pytest.raises(MalformedError) as caught:
        codec.parse_untrusted(fmt, data)
    assert caught.value.__context__ is None or caught.value.__suppress_context__
    try:
        unpack = codec.derive_unpack_untrusted(fmt)
    except UsageError:
        return
    if vector["expect"] != "trailing bytes":  # what follows is the caller's
        with pytest.raises(MalformedError):
            unpack(data, 0)


# --- codes and keys -----------------------------------------------------------------------------


@pytest.mark.parametrize("vector", each("linking-code"))
def test_linking_code(vector: Vector) -> None:
    """PR-2, PR-3, PR-10, LK-20."""
    (code,) = hexes(vector, "code")
    assert LinkingCode(code).text() == vector["text"]
    for typed in (vector["text"], *vector["also"]):
        assert LinkingCode.parse(typed).secret == code
    assert LinkingCode(code).psk0().hex() == vector["psk0"]
    assert mac1_key(code).hex() == vector["mac1_key"]


CODE_ERRORS = {"length": "28 characters", "alphabet": "digits and letters only", "checksum": "checksum does not fit"}


@pytest.mark.parametrize("vector", each("linking-code-failure"))
def test_linking_code_failure(vector: Vector) -> None:
    """The error names the kind of mistake, and never the text."""
    with pytest.raises(CodeFormatError, match=CODE_ERRORS[vector["expect"]]) as caught:
        LinkingCode.parse(vector["text"])
    assert not vector["text"] or vector["text"] not in str(caught.value)


@pytest.mark.parametrize("vector", each("key-id"))
def test_key_id(vector: Vector) -> None:
    """LK-5, LK-20."""
    public, key_id = hexes(vector, "public", "key_id")
    assert key_id_of(vector["dh"], public) == key_id
    label = b"Aerolink key id v1" + bytes((len(vector["dh"]),)) + vector["dh"].encode()
    assert hashlib.sha256(label + public).digest()[:16] == key_id
    assert fingerprint_text(key_id) == vector["fingerprint"]
    assert parse_fingerprint(vector["fingerprint"].upper()) == key_id
    assert match_fingerprint(vector["fingerprint"][:9], [bytes(16), key_id]) == key_id
    assert mac1_key(public).hex() == vector["mac1_key"]


# --- airlink ------------------------------------------------------------------------------------


def directions(vector: Vector) -> list[Direction]:
    return [way for way in Direction if vector["direction"] in {"both", way.name and way.name.lower()}]


def test_every_message_has_a_vector() -> None:
    wanted = {row.format.type.__name__ for row in MESSAGES.values()}
    assert {vector["message"] for vector in everything()["airlink"]} == wanted


@pytest.mark.parametrize("vector", each("airlink"))
def test_airlink(vector: Vector) -> None:
    """AL-1 to AL-4, AL-7."""
    (data,) = hexes(vector, "bytes")
    message = airlink.decode_untrusted(ChannelId(vector["channel"]), data)
    for way in directions(vector):
        assert airlink.decode_untrusted(ChannelId(vector["channel"]), data, way) == message
        assert type(message).__name__ == vector["message"]
        assert plain(message) == vector["fields"]
        assert message == valued(type(message), vector["fields"])
        assert airlink.encode(message) == data
    row = airlink.message_type(message)
    assert row.channel == vector["channel"]
    assert row.id == int.from_bytes(data[:2], "big")
    assert [way for way in Direction if way in row.direction] == directions(vector)


@pytest.mark.parametrize("vector", each("airlink-failure"))
def test_airlink_failure(vector: Vector) -> None:
    (data,), (way,) = hexes(vector, "bytes"), directions(vector)
    with pytest.raises(MalformedError):
        airlink.decode_untrusted(ChannelId(vector["channel"]), data, way)
    if vector["expect"] == "wrong way":
        airlink.decode_untrusted(ChannelId(vector["channel"]), data)


# --- the other links ----------------------------------------------------------------------------

LINKS: dict[str, MessageTable[Any]] = {
    "groundlink": GROUNDLINK,
    "remote mobile": REMOTE_MOBILE,
    "remote cloud": REMOTE_CLOUD,
}


@pytest.mark.parametrize("link", LINKS)
def test_every_message_of_a_link_has_a_vector(link: str) -> None:
    wanted = {row.format.type.__name__ for row in LINKS[link].rows.values()}
    found = {vector["message"] for vector in everything()["link-message"] if vector["link"] == link}
    assert found == wanted


@pytest.mark.parametrize("vector", each("link-message"))
def test_link_message(vector: Vector) -> None:
    """GL-1."""
    table, (data,) = LINKS[vector["link"]], hexes(vector, "bytes")
    message = table.decode_untrusted(ChannelId(vector["channel"]), data)
    for way in directions(vector):
        assert table.decode_untrusted(ChannelId(vector["channel"]), data, way) == message
    assert type(message).__name__ == vector["message"]
    assert plain(message) == vector["fields"]
    assert message == valued(type(message), vector["fields"])
    assert table.encode(message) == data
    assert [way for way in Direction if way in table.row(message).direction] == directions(vector)


@pytest.mark.parametrize("vector", each("link-message-failure"))
def test_link_message_failure(vector: Vector) -> None:
    """GL-1, GL-2, GL-10."""
    table, (data,), (way,) = LINKS[vector["link"]], hexes(vector, "bytes"), directions(vector)
    with pytest.raises(MalformedError):
        table.decode_untrusted(ChannelId(vector["channel"]), data, way)
    if vector["expect"] == "wrong way":
        table.decode_untrusted(ChannelId(vector["channel"]), data)


# --- maps ---------------------------------------------------------------------------------------


def map_value(value: Any) -> Any:
    """Return what a map holds: {"bytes": hex} and {"float": text} stand for what JSON has not."""
    if is_a(value, list):
        return [map_value(each_) for each_ in value]
    if not is_a(value, dict):
        return value
    if value.keys() == {"bytes"}:
        return bytes.fromhex(value["bytes"])
    if value.keys() == {"float"}:
        return float(value["float"])
    return {key: map_value(each_) for key, each_ in value.items()}


@pytest.mark.parametrize("vector", each("map"))
def test_map(vector: Vector) -> None:
    (data,), value = hexes(vector, "bytes"), map_value(vector["value"])
    found = unpack_value_untrusted(data)
    assert repr(found) == repr(value)  # tells 1 from 1.0 and 0.0 from -0.0
    assert pack_value(value) == data
    if is_a(value, dict):
        assert unpack_map_untrusted(data) == value
        assert pack_map(value) == data


@pytest.mark.parametrize("vector", each("map-failure"))
def test_map_failure(vector: Vector) -> None:
    """MP-1 to MP-13: each for its own reason."""
    reason = Refusal[vector["expect"].upper().replace(" ", "_")]
    with pytest.raises(MalformedError) as caught:
        unpack_map_untrusted(bytes.fromhex(vector["bytes"]))
    assert str(caught.value) == f"msgpack: {reason.value}"


def test_vectors_are_found_by_name() -> None:
    assert named("map", "empty")["bytes"] == "80"
