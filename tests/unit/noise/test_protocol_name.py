"""Protocol names and message lengths (Noise rev 34, section 8; specs/noise-hfs.md)."""

import pytest

from protocols.crypto.suites import SUITES
from protocols.errors import UnsupportedError, UsageError
from protocols.noise import PATTERNS, NoiseProtocol
from tests.unit.noise.pair import CHEAP, HYBRID, finish, make_pair, names_of, protocol_name, step

LENGTHS = {  # the table of NH-11
    "Noise_IKhfs+psk2_P256+MLKEM768_AESGCM_SHA256": (1362, 1185),
    "Noise_XXhfs+psk0_P256+MLKEM768_AESGCM_SHA256": (1281, 1266, 97),
    "Noise_IKhfs+psk2_25519+MLKEM768_ChaChaPoly_BLAKE2s": (1296, 1152),
    "Noise_XXhfs+psk0_25519+MLKEM768_ChaChaPoly_BLAKE2s": (1248, 1200, 64),
    "Noise_IKpsk2_P256_AESGCM_SHA256": (162, 81),
    "Noise_XXpsk0_P256_AESGCM_SHA256": (81, 162, 97),
    "Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s": (96, 48),
    "Noise_XXpsk0_25519_ChaChaPoly_BLAKE2s": (48, 96, 64),
}


def test_parts() -> None:
    """NH-1, NH-3, NP-1."""
    protocol = NoiseProtocol.parse("Noise_IKhfs+psk2_P256+MLKEM768_AESGCM_SHA256")
    assert protocol.pattern.name == "IKhfs+psk2"
    assert (protocol.dh.name, protocol.dh.public_length, protocol.dh.secret_length) == ("P256", 65, 32)
    assert protocol.kem is not None
    assert (protocol.kem.public_length, protocol.kem.ciphertext_length, protocol.kem.secret_length) == (
        1184,
        1088,
        32,
    )
    assert (protocol.cipher.name, protocol.hash.name) == ("AESGCM", "SHA256")


@pytest.mark.parametrize(
    "name",
    [
        "", "Noise", "Noise_XX", "noise_XX_25519_AESGCM_SHA256", "NoisePSK_XX_25519_AESGCM_SHA256",
        "Noise_XX_25519_AESGCM_SHA256_", " Noise_XX_25519_AESGCM_SHA256", "Noise_XX_25519_AESGCM_SHA256 ",
        "Noise_XX_25519_AESGCM_SHA3/256", "Noise_XX_25519_XChaChaPoly_SHA256",
        "Noise_XX_secp256k1_AESGCM_SHA256", "Noise_ZZ_25519_AESGCM_SHA256", "Noise_XX_25519+448_AESGCM_SHA256",
        "Noise_XX_25519+_AESGCM_SHA256", "Noise_XX_25519_AESGCM+AESGCM_SHA256",
        "Noise_XX_25519_AESGCM_sha256", "Noise_XX_\uff125519_AESGCM_SHA256", "Noise_XXhfs_25519_AESGCM_SHA256",
        "Noise_XX_25519+MLKEM768_AESGCM_SHA256", "Noise_XXhfs_25519+MLKEM768+MLKEM768_AESGCM_SHA256",
        "Noise_XXhfs_MLKEM768_AESGCM_SHA256", "Noise_XX_25519_AESGCM_" + "S" * 300,
    ],
)  # fmt: skip
def test_what_is_not_offered(name: str) -> None:
    """NH-1: hfs and a KEM go together; everything unknown is refused."""
    with pytest.raises(UnsupportedError):
        NoiseProtocol.parse(name)


@pytest.mark.parametrize("base", PATTERNS)
def test_every_pattern_runs_and_has_its_lengths(base: str) -> None:
    """NH-4, NH-5, NH-11: each message is exactly as long as its tokens say, for every set of modifiers."""
    for pattern in names_of(base):
        a, b = make_pair(protocol_name(pattern))
        while not a.is_finished:
            index = a.message_index
            assert len(step(a, b, b"12345")) == a.protocol.message_length(index, 5)
        finish(a, b)


@pytest.mark.parametrize("name", LENGTHS)
def test_lengths_of_the_product(name: str) -> None:
    """NH-11, NP-1."""
    protocol = NoiseProtocol.parse(name)
    assert tuple(protocol.message_length(i, 0) for i in range(len(LENGTHS[name]))) == LENGTHS[name]


def test_the_table_of_lengths_is_that_of_the_suites() -> None:
    names = {suite.noise_name(pattern) for suite in SUITES.values() for pattern in ("IKpsk2", "XXpsk0")}
    assert names == set(LENGTHS)


def test_no_length_for_what_is_no_message() -> None:
    protocol = NoiseProtocol.parse(f"Noise_NN_{CHEAP}")
    for index, length in ((2, 0), (-1, 0), (0, -1)):
        with pytest.raises(UsageError):
            protocol.message_length(index, length)
    assert NoiseProtocol.parse(f"Noise_NNhfs_{HYBRID}").message_length(0, 1) == 32 + 1184 + 1
