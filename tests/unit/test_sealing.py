"""Sealed logs (specs/8-sealed-logs.md): format, sealing, opening. The attacks are in test_sealing_attacks.py."""

import hashlib
from dataclasses import replace

import pytest

from protocols import codec
from protocols.crypto.kdf import sha256
from protocols.crypto.signatures import BadSignatureError
from protocols.errors import BadPublicKeyError, MalformedError, TruncatedError, UsageError
from protocols.sealing import (
    HEADER_BYTES,
    MAX_SEALED_BYTES,
    MIN_SEALED_BYTES,
    TRAILER_BYTES,
    CloudKey,
    LogSealer,
    cloud_key_id_of,
    parse_header_untrusted,
    read_ends_untrusted,
    seal_log,
    sealing_key_id,
)
from protocols.unsealing import (
    Arrival,
    ChangedLogError,
    LogOpener,
    LogVerifier,
    UnknownSealingKeyError,
    arrival_of,
    unseal_log,
    verify_sealed_log_untrusted,
)
from specs.sealed_log import CHUNK_BYTES, HEADER, INFO, MANIFEST, SIGNATURES, SealingKeyKind
from tests.helpers.sealed import CLOUD, DRONE, Parts, cloud, content, drone, ends_of, opened, random, sealed, sealer

SIZES = (0, 1, 65_535, 65_536, 65_537, 131_071, 131_072, 131_073, 200_000)


@pytest.mark.parametrize("size", SIZES)
def test_sl_1_2_what_was_sealed_comes_out_again(size: int) -> None:
    log = sealed(size)
    chunks = max(1, -(-size // CHUNK_BYTES))
    assert len(log) == 1_773 + size + 16 * chunks + 3_561
    verified, found = opened(log)
    assert found == content(size)
    assert verified.ends.content_bytes == size
    assert verified.ends.manifest.chunks == chunks
    assert verified.signer == DRONE.known
    assert verified.log_id == (DRONE.drone_id, random("flight", 16))


def test_sl_1_the_sizes_of_the_page() -> None:
    assert [codec.size_bytes(each) for each in (INFO, HEADER, MANIFEST, SIGNATURES)] == [76, 1_773, 188, 3_373]
    assert (HEADER_BYTES, TRAILER_BYTES, MIN_SEALED_BYTES) == (1_773, 3_561, 1_773 + 16 + 3_561)


@pytest.mark.parametrize("step", [1, 1_000, 65_536, 65_537, 1_000_000])
def test_sl_4_sealing_and_opening_in_pieces_is_the_same(step: int) -> None:
    size = 70_000 if step == 1 else 200_000
    data, maker = content(size), sealer()
    log = maker.begin()
    for at in range(0, size, step):
        log += maker.update(memoryview(data)[at : at + step])
    log += maker.finish()
    assert opened(log)[1] == data
    ends = ends_of(log)
    verifier = LogVerifier(ends, [DRONE.known], [cloud_key_id_of(CLOUD.public)])
    signed = log[: ends.signed_bytes]
    for at in range(0, len(signed), step):
        verifier.update_untrusted(memoryview(signed)[at : at + step])
    opener = LogOpener(verifier.finish_untrusted(), CLOUD)
    found = b"".join([opener.update_untrusted(signed[at : at + step]) for at in range(0, len(signed), step)])
    opener.finish_untrusted()
    assert found == data


def test_sl_4_a_large_log_is_read_in_pieces_within_its_bounds() -> None:
    log, asked = sealed(3_000_000), list[tuple[int, int]]()

    def read(offset: int, length: int) -> bytes:
        asked.append((offset, length))
        return log[offset : offset + length]

    verified = verify_sealed_log_untrusted(read, len(log), [DRONE.known], [cloud_key_id_of(CLOUD.public)])
    parts = list[bytes]()
    unseal_log(read, verified, CLOUD, parts.append)
    assert b"".join(parts) == content(3_000_000)
    assert max(length for _, length in asked) <= 16 * 65_552
    assert all(offset >= 0 and offset + length <= len(log) for offset, length in asked)


# --- sealing --------------------------------------------------------------------------------------


def test_sl_10_flight_and_secret_come_from_the_entropy_that_is_given() -> None:
    asked = list[int]()

    def entropy(count: int) -> bytes:
        asked.append(count)
        return random("entropy", count)

    maker = LogSealer(
        drone_id=DRONE.drone_id, flight_id=bytes(16), cloud_public=CLOUD.public, signing=DRONE.signing, entropy=entropy
    )
    assert opened(seal_log(b"content", maker))[1] == b"content"
    assert asked == [32]


def test_sl_11_what_hpke_carries_is_bound_to_all_of_info() -> None:
    header = ends_of(sealed(1)).header
    info = ends_of(sealed(1)).info
    assert CLOUD.open_untrusted(header.sealed_secret, codec.build(INFO, info)) == random("flight secret", 32)


def test_sl_12_one_secret_twice_is_not_one_key_twice() -> None:
    """A generator that repeats itself: the flight id alone keeps the chunks apart."""

    def chunk(flight: str) -> bytes:
        maker = LogSealer(
            drone_id=DRONE.drone_id,
            flight_id=random(flight, 16),
            cloud_public=CLOUD.public,
            signing=DRONE.signing,
            entropy=bytes,
        )
        return Parts.of(seal_log(content(100), maker)).chunks[0]

    assert chunk("one") == chunk("one")
    assert chunk("one") != chunk("two")


def test_sl_13_chunks_of_one_content_differ() -> None:
    maker = sealer()
    chunks = Parts.of(seal_log(bytes(3 * CHUNK_BYTES), maker)).chunks
    assert len(set(chunks)) == 3


def test_sl_14_the_hash_is_that_of_everything_before_the_manifest() -> None:
    log = sealed(70_000)
    assert ends_of(log).manifest.sealed_sha384 == hashlib.sha384(log[:-TRAILER_BYTES]).digest()


def test_sl_16_nothing_is_sealed_to_what_is_no_key() -> None:
    for public in (b"", CLOUD.public[:-1], bytes(1_665), CLOUD.public[:-1] + b"\x00"):
        with pytest.raises(BadPublicKeyError):
            LogSealer(
                drone_id=bytes(16), flight_id=bytes(16), cloud_public=public, signing=DRONE.signing, entropy=bytes
            )


@pytest.mark.parametrize(("drone_id", "flight_id"), [(bytes(15), bytes(16)), (bytes(16), bytes(17))])
def test_ids_of_another_length_are_the_callers_fault(drone_id: bytes, flight_id: bytes) -> None:
    with pytest.raises(UsageError):
        LogSealer(
            drone_id=drone_id, flight_id=flight_id, cloud_public=CLOUD.public, signing=DRONE.signing, entropy=bytes
        )


def test_a_sealer_is_used_in_its_order() -> None:
    maker = sealer()
    for step in (maker.finish, lambda: maker.update(b"x")):
        with pytest.raises(UsageError):
            step()
    maker.begin()
    with pytest.raises(UsageError):
        maker.begin()
    maker.finish()
    for step in (maker.begin, maker.finish, lambda: maker.update(b"x")):
        with pytest.raises(UsageError):
            step()


def test_a_log_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("protocols.sealing.MAX_CHUNKS", 2)
    maker = sealer()
    log = maker.begin() + maker.update(content(2 * CHUNK_BYTES))
    with pytest.raises(UsageError, match="512 GiB"):
        maker.update(b"x")
    log_of_two = log + maker.finish()
    assert ends_of(log_of_two).manifest.chunks == 2


def test_key_ids_are_of_their_kind() -> None:
    public = DRONE.known.ecdsa_public
    expected = sha256(b"Aerolink sealing key id v1", b"\x02", public)[:16]
    assert sealing_key_id(SealingKeyKind.ECDSA_P256, public) == expected
    assert len({sealing_key_id(kind, public) for kind in SealingKeyKind}) == 3
    assert CloudKey(bytes(16), CLOUD.public).id == cloud_key_id_of(CLOUD.public) == ends_of(sealed(1)).info.cloud_key_id


# --- reading --------------------------------------------------------------------------------------


def test_a_relay_reads_whose_log_it_is_without_a_key() -> None:
    log = sealed(1)
    header = parse_header_untrusted(log)
    assert header == parse_header_untrusted(log[:HEADER_BYTES]) == ends_of(log).header
    assert (header.drone_id, header.flight_id) == (DRONE.drone_id, random("flight", 16))
    with pytest.raises(MalformedError):
        parse_header_untrusted(log[: HEADER_BYTES - 1])


@pytest.mark.parametrize(
    ("at", "value"),
    [(0, b"B"), (8, b"\x00\x02"), (8, b"\x00\x00"), (10, b"\x00\x01"), (-3_561, b"B"), (-3_561 + 24, b"B")],
    ids=["magic", "suite 2", "suite 0", "reserved", "label of the manifest", "label of its info"],
)
def test_sl_1_what_is_another_format_is_refused(at: int, value: bytes) -> None:
    log = bytearray(sealed(1))
    at %= len(log)
    log[at : at + len(value)] = value
    with pytest.raises(MalformedError):
        opened(bytes(log))


def test_sl_1_nothing_precedes_and_nothing_follows() -> None:
    log = sealed(1)
    for changed in (log + b"\x00", b"\x00" + log, log[:-1], log[1:], log[:HEADER_BYTES] + b"\x00" + log[HEADER_BYTES:]):
        with pytest.raises(MalformedError):
            opened(changed)


def test_sl_1_sizes_out_of_range_are_refused_before_anything_is_read() -> None:
    def read(offset: int, length: int) -> bytes:
        raise AssertionError((offset, length))

    with pytest.raises(TruncatedError):
        read_ends_untrusted(read, MIN_SEALED_BYTES - 1)
    with pytest.raises(MalformedError):
        read_ends_untrusted(read, MAX_SEALED_BYTES + 1)


@pytest.mark.parametrize(("chunks", "last_bytes"), [(0, 0), (2**23 + 1, 1), (1, CHUNK_BYTES + 1)])
def test_sl_2_numbers_out_of_range_are_refused(chunks: int, last_bytes: int) -> None:
    with pytest.raises(UsageError):
        codec.build(MANIFEST, replace(ends_of(sealed(1)).manifest, chunks=chunks, last_bytes=last_bytes))
    data = bytearray(codec.build(MANIFEST, ends_of(sealed(1)).manifest))
    data[132:140] = chunks.to_bytes(4, "big") + last_bytes.to_bytes(4, "big")
    with pytest.raises(MalformedError):
        codec.parse_untrusted(MANIFEST, data)


def test_sl_2_a_content_has_one_division() -> None:
    """65,536 bytes as a full chunk and an empty one: signed by the drone itself, and refused all the same."""
    parts = Parts.of(sealed(CHUNK_BYTES))
    divided = replace(parts, chunks=(*parts.chunks, bytes(16))).described().signed_by(DRONE.signing)
    with pytest.raises(MalformedError, match="an empty chunk after others"):
        opened(divided.log())


# --- verifying, then opening ------------------------------------------------------------------------


def test_sl_22_the_verifier_takes_exactly_what_was_signed() -> None:
    log = sealed(70_000)
    ends = ends_of(log)
    for data, error in ((log[: ends.signed_bytes - 1], TruncatedError), (bytes(ends.signed_bytes), BadSignatureError)):
        verifier = LogVerifier(ends, [DRONE.known], [cloud_key_id_of(CLOUD.public)])
        verifier.update_untrusted(data)
        with pytest.raises(error):
            verifier.finish_untrusted()
    verifier = LogVerifier(ends, [DRONE.known], [cloud_key_id_of(CLOUD.public)])
    with pytest.raises(MalformedError):
        verifier.update_untrusted(log)


def test_sl_23_a_log_is_opened_with_the_key_that_it_names_only() -> None:
    verified, _ = opened(sealed(1))
    with pytest.raises(UnknownSealingKeyError):
        LogOpener(verified, cloud("another"))


def test_sl_23_nothing_is_decrypted_before_all_was_verified(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the first phase refuses, the private key is not touched."""

    def touched(*_: object) -> None:
        raise AssertionError("decrypted")

    monkeypatch.setattr("protocols.crypto.hpke.HpkeKey.open_untrusted", touched)
    log = bytearray(sealed(70_000))
    log[HEADER_BYTES + 66_000] ^= 1
    with pytest.raises(BadSignatureError):
        opened(bytes(log))


def test_sl_24_a_file_that_is_exchanged_between_the_phases_is_found_out() -> None:
    """The other file is sealed under the same secret, so every tag is right: only the hash tells."""
    verified, _ = opened(sealed(100))
    maker = sealer()
    other = seal_log(content(100, "other"), maker)
    ends = ends_of(other)
    same_head = sealed(100)[:HEADER_BYTES] + other[HEADER_BYTES : ends.signed_bytes]
    opener = LogOpener(verified, CLOUD)
    assert opener.update_untrusted(same_head) == content(100, "other")
    with pytest.raises(ChangedLogError):
        opener.finish_untrusted()


def test_sl_24_a_file_that_is_shorter_or_longer_now_is_found_out() -> None:
    log = sealed(100)
    verified, _ = opened(log)
    opener = LogOpener(verified, CLOUD)
    assert opener.update_untrusted(log[: verified.ends.signed_bytes - 1]) == b""
    with pytest.raises(ChangedLogError):
        opener.finish_untrusted()
    with pytest.raises(ChangedLogError):
        opener.update_untrusted(b"xx")


def test_sl_40_a_flight_is_stored_once() -> None:
    verified, _ = opened(sealed(100))
    again, _ = opened(sealed(100))
    other, _ = opened(seal_log(content(5), sealer()))
    assert verified.log_id == other.log_id
    stored = verified.ends.manifest.sealed_sha384
    assert arrival_of(verified, None) is Arrival.NEW
    assert arrival_of(again, stored) is Arrival.AGAIN
    assert arrival_of(other, stored) is Arrival.CONFLICT


def test_sl_33_a_log_on_its_way_is_verified_by_the_keys_that_signed_it() -> None:
    newer = replace(drone("newer"), drone_id=DRONE.drone_id)
    for log, signer in ((sealed(1), DRONE), (sealed(1, by=newer), newer)):
        assert opened(log, DRONE.known, newer.known)[0].signer == signer.known


def test_sl_31_a_log_on_its_way_is_opened_by_the_key_that_it_was_sealed_to() -> None:
    assert opened(sealed(9), keys=(CLOUD, cloud("newer")))[1] == content(9)
    assert opened(sealed(9, to=cloud("newer")), keys=(CLOUD, cloud("newer")))[1] == content(9)


def test_nothing_secret_is_shown() -> None:
    log = sealed(3)
    secrets = (random("flight secret", 32), random("cloud hpke", 112)[:16], random("drone mldsa", 32))
    shown = f"{CLOUD!r} {DRONE.signing!r} {opened(log)[0]!r} {sealer()!r}"
    for secret in secrets:
        assert secret.hex() not in shown
        assert repr(secret)[2:-1] not in shown
