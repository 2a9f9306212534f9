"""HPKE, STREAM and signatures without twins: the primitives of sealed logs."""

import pytest

from protocols.crypto.hpke import HpkeKey, check_hpke_public, hpke_seal
from protocols.crypto.signatures import BadSignatureError, EcdsaP256Key, check_low_s, check_mldsa65_public
from protocols.crypto.stream import Sha384, StreamCipher
from protocols.errors import BadPublicKeyError, DecryptError, KeyExhaustedError, KeyFormatError
from tests.helpers.sealed import CLOUD, cloud

ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def test_hpke_there_and_back() -> None:
    sealed = hpke_seal(CLOUD.public, b"secret", b"info")
    assert len(sealed) == 1_665 + 6 + 16
    assert CLOUD.open_untrusted(sealed, b"info") == b"secret"
    assert hpke_seal(CLOUD.public, b"secret", b"info") != sealed
    assert HpkeKey.generate().public != HpkeKey.generate().public


def test_hpke_refuses_every_other_key_info_and_ciphertext() -> None:
    sealed = hpke_seal(CLOUD.public, b"secret", b"info")
    attempts = [
        (CLOUD, sealed, b""),
        (CLOUD, sealed, b"Info"),
        (cloud("other"), sealed, b"info"),
        (CLOUD, b"", b"info"),
    ]
    attempts += [(CLOUD, sealed[:length], b"info") for length in (1, 1_568, 1_665, 1_680, len(sealed) - 1)]
    for at in (0, 1_567, 1_568, 1_569, 1_664, 1_665, len(sealed) - 1):
        attempts.append((CLOUD, sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :], b"info"))
    for key, data, info in attempts:
        with pytest.raises(DecryptError):
            key.open_untrusted(data, info)


def test_hpke_keys_from_their_bytes() -> None:
    private = CLOUD.private_bytes()
    assert len(private) == 112
    assert HpkeKey.from_private_bytes(private).public == CLOUD.public
    assert private.hex()[:32] not in repr(CLOUD)
    for bad in (b"", private[:-1], private + b"\0", private[:64] + bytes(48), private[:64] + b"\xff" * 48):
        with pytest.raises(KeyFormatError):
            HpkeKey.from_private_bytes(bad)


def test_hpke_public_keys_are_checked() -> None:
    public = CLOUD.public
    assert len(public) == 1_665
    check_hpke_public(public)
    off_curve = public[:-1] + bytes([public[-1] ^ 1])
    too_large = b"\xff" * 1_568 + public[1_568:]  # coefficients above q: FIPS 203, 7.2
    hybrid_form = public[:1_568] + b"\x06" + public[1_569:]
    for bad in (b"", public[:-1], public + b"\0", off_curve, too_large, hybrid_form):
        with pytest.raises(BadPublicKeyError):
            check_hpke_public(bad)
        with pytest.raises(BadPublicKeyError):
            hpke_seal(bad, b"", b"")


def test_a_chunk_opens_in_its_place_only() -> None:
    cipher = StreamCipher(bytes(32), b"info")
    sealed = cipher.seal(3, b"chunk", final=False)
    assert cipher.open_untrusted(3, sealed, final=False) == b"chunk"
    assert StreamCipher(bytes(32), b"info").seal(3, b"chunk", final=False) == sealed
    for other, counter, final in (
        (cipher, 3, True),
        (cipher, 2, False),
        (cipher, 259, False),
        (StreamCipher(bytes(32), b"other"), 3, False),
        (StreamCipher(b"\1" * 32, b"info"), 3, False),
    ):
        with pytest.raises(DecryptError):
            other.open_untrusted(counter, sealed, final=final)
    assert cipher.seal(2**32 - 1, b"", final=True)
    with pytest.raises(KeyExhaustedError):
        cipher.seal(2**32, b"", final=True)
    with pytest.raises(KeyFormatError):
        StreamCipher(bytes(31), b"info")
    assert repr(cipher) == "<StreamCipher>"


def test_sha384_in_pieces() -> None:
    """FIPS 180-4, the example "abc"."""
    digest = Sha384()
    for piece in (b"a", bytearray(b"b"), memoryview(b"c")):
        digest.update(piece)
    expected = "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7"
    assert digest.digest().hex() == digest.digest().hex() == expected


def test_our_signatures_are_no_twins() -> None:
    key = EcdsaP256Key.generate()
    for count in range(20):
        signature = key.sign(bytes([count]))
        check_low_s(signature)
        twin = signature[:32] + (ORDER - int.from_bytes(signature[32:], "big")).to_bytes(32, "big")
        with pytest.raises(BadSignatureError):
            check_low_s(twin)


def test_mldsa_public_keys_have_a_length() -> None:
    check_mldsa65_public(bytes(1_952))
    for length in (0, 1_951, 1_953):
        with pytest.raises(BadPublicKeyError):
            check_mldsa65_public(bytes(length))
