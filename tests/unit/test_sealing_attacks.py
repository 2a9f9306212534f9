"""Attacks on sealed logs, each with a test of its name (specs/8-sealed-logs.md, 8.6)."""

from collections.abc import Callable
from dataclasses import replace
from itertools import permutations
from typing import Any

import pytest

from protocols import codec
from protocols.crypto.signatures import BadSignatureError
from protocols.errors import AerolinkError, AuthenticationError, MalformedError, PeerError, PolicyError
from protocols.sealing import HEADER_BYTES, TRAILER_BYTES, SigningKeys, cloud_key_id_of, seal_log
from protocols.unsealing import UnknownSealingKeyError
from specs.sealed_log import CHUNK_BYTES, MANIFEST, SEALED_CHUNK_BYTES
from tests.helpers.sealed import CLOUD, DRONE, Parts, cloud, content, drone, opened, random, sealed, sealer

THREE = 2 * CHUNK_BYTES + 500
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
MOBILE = drone("mobile")
"""A mobile's own signing keys: of no drone that the cloud knows."""

BOUNDARIES = {
    "nothing": 0,
    "magic": 8,
    "header": HEADER_BYTES,
    "inside the header": 1_000,
    "first chunk": HEADER_BYTES + SEALED_CHUNK_BYTES,
    "inside the first chunk": HEADER_BYTES + 5_000,
    "two chunks": HEADER_BYTES + 2 * SEALED_CHUNK_BYTES,
    "all chunks": HEADER_BYTES + 2 * SEALED_CHUNK_BYTES + 516,
    "manifest": HEADER_BYTES + 2 * SEALED_CHUNK_BYTES + 516 + 188,
    "first signature": HEADER_BYTES + 2 * SEALED_CHUNK_BYTES + 516 + 188 + 64,
    "all but one byte": HEADER_BYTES + 2 * SEALED_CHUNK_BYTES + 516 + TRAILER_BYTES - 1,
}


def test_the_log_under_attack_is_a_good_one() -> None:
    """Sanity: what is refused below is refused for what was done to it."""
    assert opened(sealed(THREE))[1] == content(THREE)
    assert Parts.of(sealed(THREE)).log() == sealed(THREE)
    resigned = Parts.of(sealed(THREE)).described().signed_by(DRONE.signing)
    assert opened(resigned.log())[1] == content(THREE)


@pytest.mark.parametrize("boundary", BOUNDARIES.values(), ids=BOUNDARIES)
def test_truncation(boundary: int) -> None:
    """SL-1: whatever is cut off."""
    with pytest.raises(PeerError):
        opened(sealed(THREE)[:boundary])


@pytest.mark.parametrize("kept", [1, 2])
def test_truncation_of_whole_chunks(kept: int) -> None:
    """SL-13, SL-20, SL-22: the end of the log behind fewer chunks, as it is and with a manifest that fits."""
    parts = Parts.of(sealed(THREE))
    shorter = replace(parts, chunks=parts.chunks[:kept])
    with pytest.raises(MalformedError):
        opened(shorter.log())
    with pytest.raises(BadSignatureError):
        opened(shorter.described().log())


def test_truncation_signed_by_the_drone_itself() -> None:
    """SL-13: even under right signatures the chunks do not open: the last one has not the final flag."""
    parts = Parts.of(sealed(THREE))
    shorter = replace(parts, chunks=parts.chunks[:2]).described().signed_by(DRONE.signing)
    with pytest.raises(AuthenticationError, match="tag"):
        opened(shorter.log())


@pytest.mark.parametrize("order", [each for each in permutations(range(3)) if each != (0, 1, 2)])
@pytest.mark.parametrize("signed", [False, True])
def test_reordering_of_chunks(order: tuple[int, ...], signed: bool) -> None:
    """SL-13, SL-22: found by the hash; where the drone signed it so (never), by the nonces."""
    parts = Parts.of(sealed(3 * CHUNK_BYTES))
    turned = replace(parts, chunks=tuple(parts.chunks[at] for at in order))
    with pytest.raises(AuthenticationError):
        opened((turned.described().signed_by(DRONE.signing) if signed else turned).log())


@pytest.mark.parametrize("order", [(0, 0, 1, 2), (0, 1, 1, 2), (0, 1, 2, 2)])
def test_repeated_chunks(order: tuple[int, ...]) -> None:
    """SL-13, SL-22."""
    parts = Parts.of(sealed(3 * CHUNK_BYTES))
    longer = replace(parts, chunks=tuple(parts.chunks[at] for at in order))
    for attempt in (longer, longer.described(), longer.described().signed_by(DRONE.signing)):
        with pytest.raises(AerolinkError):
            opened(attempt.log())


@pytest.mark.parametrize("cut", [0, 1, 2])
def test_splicing_of_two_logs(cut: int) -> None:
    """SL-3, SL-22: chunks of one flight in another's; the same division, the same drone, the same cloud."""
    one, two = Parts.of(sealed(THREE, "one")), Parts.of(sealed(THREE, "two"))
    spliced = replace(one, chunks=one.chunks[:cut] + two.chunks[cut:])
    assert spliced.chunks != one.chunks
    with pytest.raises(BadSignatureError):
        opened(spliced.log())
    with pytest.raises(AuthenticationError, match="tag"):
        opened(spliced.described().signed_by(DRONE.signing).log())


def test_manifest_of_another_log() -> None:
    """SL-3, SL-22: end of one log behind another, of another flight and of the same."""
    one, two = Parts.of(sealed(THREE, "one")), Parts.of(sealed(THREE, "two"))
    with pytest.raises(MalformedError, match="of two logs"):
        opened(replace(one, manifest=two.manifest, signatures=two.signatures).log())
    same_flight = Parts.of(seal_log(content(THREE, "other"), sealer("one")))
    with pytest.raises(BadSignatureError, match="not the bytes that were signed"):
        opened(replace(one, manifest=same_flight.manifest, signatures=same_flight.signatures).log())
    with pytest.raises(BadSignatureError):
        opened(replace(one, signatures=two.signatures).log())


def test_sealed_secret_of_another_log() -> None:
    """SL-11, SL-22: the secret of another flight does not even open, whoever signs."""
    one, two = Parts.of(sealed(THREE, "one")), Parts.of(sealed(THREE, "two"))
    swapped = replace(one, header=replace(one.header, sealed_secret=two.header.sealed_secret))
    with pytest.raises(BadSignatureError):
        opened(swapped.log())
    with pytest.raises(AuthenticationError, match="HPKE"):
        opened(swapped.described().signed_by(DRONE.signing).log())


@pytest.mark.parametrize("name", ["cloud_key_id", "drone_id", "flight_id"])
def test_swapped_key_id_drone_or_flight(name: str) -> None:
    """SL-3, SL-11, SL-21: in the header alone, in both places, and (no drone does that) signed."""
    other_cloud, other_drone = cloud("other"), replace(drone("other"), drone_id=random("other id", 16))
    values: dict[str, Any] = {
        "cloud_key_id": cloud_key_id_of(other_cloud.public),
        "drone_id": other_drone.drone_id,
        "flight_id": random("another flight", 16),
    }
    known = (DRONE.known, other_drone.known, replace(DRONE.known, drone_id=other_drone.drone_id))
    parts = Parts.of(sealed(THREE))
    swapped = replace(parts, header=replace(parts.header, **{name: values[name]}))
    both = swapped.described()
    for attempt in (swapped, both, replace(both, manifest=replace(both.manifest, sealed_sha384=bytes(48)))):
        with pytest.raises(AerolinkError):
            opened(attempt.log(), *known, keys=(CLOUD, other_cloud))
    with pytest.raises(AuthenticationError, match="HPKE"):
        opened(both.signed_by(DRONE.signing).log(), *known, keys=(CLOUD, other_cloud))


@pytest.mark.parametrize("name", ["ecdsa_key_id", "mldsa_key_id"])
def test_swapped_signing_key_id(name: str) -> None:
    """SL-20: the ids of both keys are signed, and must be those of one pinned pair."""
    parts = Parts.of(sealed(1))
    other = drone("other").known.ids
    ids: dict[str, Any] = {"ecdsa_key_id": other[0], "mldsa_key_id": other[1]}
    swapped = replace(parts, manifest=replace(parts.manifest, **{name: ids[name]}))
    with pytest.raises(UnknownSealingKeyError):
        opened(swapped.log())


def test_a_log_resealed_by_the_mobile_under_its_own_keys() -> None:
    """SL-20: the mobile seals what it likes to the cloud, and signs it by itself."""
    forged = sealed(THREE, by=replace(MOBILE, drone_id=DRONE.drone_id))
    with pytest.raises(UnknownSealingKeyError):
        opened(forged)
    with pytest.raises(UnknownSealingKeyError):  # it may be known as another device
        opened(forged, DRONE.known, MOBILE.known)
    honest_ids = Parts.of(forged)
    ids = DRONE.known.ids
    named = replace(honest_ids, manifest=replace(honest_ids.manifest, ecdsa_key_id=ids[0], mldsa_key_id=ids[1]))
    with pytest.raises(BadSignatureError):
        opened(named.log())


def test_a_log_resealed_by_the_mobile_with_the_drones_end() -> None:
    """SL-22: the content again, should it ever know it, under the drone's own manifest and signatures."""
    genuine = Parts.of(sealed(THREE))
    again = Parts.of(seal_log(content(THREE), sealer(by=replace(MOBILE, drone_id=DRONE.drone_id))))
    assert again.chunks == genuine.chunks  # the same secret, even
    assert again.header != genuine.header  # but HPKE never encapsulates twice alike
    with pytest.raises(BadSignatureError, match="not the bytes that were signed"):
        opened(replace(again, manifest=genuine.manifest, signatures=genuine.signatures).log())


def test_a_log_resealed_by_the_mobile_to_another_cloud() -> None:
    """SL-3, SL-21: a cloud of the mobile's choice gets nothing that this drone signed."""
    elsewhere = cloud("elsewhere")
    log = sealed(THREE, to=elsewhere)
    with pytest.raises(UnknownSealingKeyError, match="not ours"):
        opened(log)
    genuine, other = Parts.of(sealed(THREE)), Parts.of(sealed(THREE, by=MOBILE, to=elsewhere))
    mixed = replace(other, manifest=genuine.manifest, signatures=genuine.signatures)
    with pytest.raises(MalformedError):
        opened(mixed.log(), keys=(CLOUD, elsewhere))


FORGED: dict[str, Callable[[SigningKeys], SigningKeys]] = {
    "ecdsa": lambda keys: replace(keys, ecdsa=MOBILE.signing.ecdsa),
    "mldsa": lambda keys: replace(keys, mldsa=MOBILE.signing.mldsa),
}


@pytest.mark.parametrize("broken", FORGED)
def test_one_valid_and_one_invalid_signature(broken: str) -> None:
    """SL-20: who breaks one scheme has nothing. The key ids are the drone's, so it is the signature that tells."""
    parts = Parts.of(sealed(THREE))
    forger = FORGED[broken](DRONE.signing)
    forged = parts.signed_by(forger).signatures
    mixed = replace(parts, signatures=replace(parts.signatures, **{broken: getattr(forged, broken)}))
    with pytest.raises(BadSignatureError):
        opened(mixed.log())
    zeros = replace(parts.signatures, **{broken: bytes(len(getattr(forged, broken)))})
    with pytest.raises(BadSignatureError):
        opened(replace(parts, signatures=zeros).log())


@pytest.mark.parametrize("broken", FORGED)
def test_a_pair_of_keys_of_two_pairs(broken: str) -> None:
    """SL-20: one key of the drone and one of another device (whose pair is pinned as well) are no pair."""
    mixed = FORGED[broken](DRONE.signing)
    log = Parts.of(sealed(1)).signed_by(mixed).log()
    with pytest.raises(UnknownSealingKeyError):
        opened(log, DRONE.known, replace(MOBILE.known, drone_id=DRONE.drone_id), MOBILE.known)


def test_sl_15_the_signatures_are_bound_to_their_use() -> None:
    """A signature over the bare manifest, or under no context, is one of another protocol."""
    parts = Parts.of(sealed(1))
    manifest = codec.build(MANIFEST, parts.manifest)
    for changed in (
        replace(parts.signatures, ecdsa=DRONE.signing.ecdsa.sign(manifest)),
        replace(parts.signatures, mldsa=DRONE.signing.mldsa.sign(manifest)),
    ):
        with pytest.raises(BadSignatureError):
            opened(replace(parts, signatures=changed).log())


def test_sl_25_the_twin_of_a_signature_is_refused() -> None:
    """(r, n - s) verifies where (r, s) does: a carrier could make a second file of one log."""
    parts = Parts.of(sealed(1))
    r, s = parts.signatures.ecdsa[:32], int.from_bytes(parts.signatures.ecdsa[32:], "big")
    assert 0 < s <= ORDER // 2
    twin = replace(parts.signatures, ecdsa=r + (ORDER - s).to_bytes(32, "big"))
    with pytest.raises(BadSignatureError, match="twin"):
        opened(replace(parts, signatures=twin).log())


def test_wrong_drone() -> None:
    """SL-20: another drone of the same cloud, known, seals in this one's name."""
    other = drone("other")
    forged = sealed(THREE, by=replace(other, drone_id=DRONE.drone_id))
    with pytest.raises(UnknownSealingKeyError, match="not this drone's"):
        opened(forged, DRONE.known, other.known)


def test_unknown_drone() -> None:
    """SL-20, SL-33: nobody pinned its keys, or they were taken back."""
    with pytest.raises(UnknownSealingKeyError, match="not known here"):
        opened(sealed(1, by=drone("other")))
    with pytest.raises(PolicyError):
        opened(sealed(1), drone("other").known)


def test_unknown_cloud_key() -> None:
    """SL-21: sealed to a key that was destroyed, or never ours; nothing else is tried."""
    with pytest.raises(UnknownSealingKeyError, match="not ours"):
        opened(sealed(1), keys=(cloud("newer"),))
    broken = Parts.of(sealed(1))
    with pytest.raises(UnknownSealingKeyError, match="not ours"):
        opened(replace(broken, signatures=replace(broken.signatures, ecdsa=bytes(64))).log(), keys=())


def test_a_cloud_key_under_the_id_of_another() -> None:
    """SL-11: a log that names our key but was sealed to another does not open, even signed by the drone."""
    parts = Parts.of(sealed(1, to=cloud("other")))
    named = replace(parts, header=replace(parts.header, cloud_key_id=cloud_key_id_of(CLOUD.public)))
    with pytest.raises(AuthenticationError, match="HPKE"):
        opened(named.described().signed_by(DRONE.signing).log())


def test_an_empty_log_is_a_log_and_cannot_be_made_of_another() -> None:
    """SL-2, SL-20."""
    assert opened(sealed(0))[1] == b""
    parts = Parts.of(sealed(THREE))
    with pytest.raises(BadSignatureError):
        opened(replace(parts, chunks=(bytes(16),)).described().log())


def test_sl_26_a_refused_log_leaves_no_trace() -> None:
    """The same verifier's input, refused and then right: nothing was remembered of the first."""
    log = bytearray(sealed(THREE))
    log[HEADER_BYTES] ^= 1
    with pytest.raises(BadSignatureError):
        opened(bytes(log))
    assert opened(sealed(THREE))[1] == content(THREE)
