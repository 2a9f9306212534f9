"""The table of suites (design 3.1)."""

from dataclasses import FrozenInstanceError

import pytest

from protocols.crypto.suites import DEFAULT_SUITE, SUITES, suite_by_id, suite_by_name
from protocols.errors import UnsupportedError, UsageError
from protocols.noise import NoiseProtocol

TABLE = {
    1: "P256+MLKEM768_AESGCM_SHA256",
    2: "25519+MLKEM768_ChaChaPoly_BLAKE2s",
    3: "P256_AESGCM_SHA256",
    4: "25519_ChaChaPoly_BLAKE2s",
}


def test_table() -> None:
    assert {number: suite.name for number, suite in SUITES.items()} == TABLE
    assert all(suite.id == number for number, suite in SUITES.items())
    assert DEFAULT_SUITE is SUITES[1]


def test_lookup() -> None:
    for number, name in TABLE.items():
        suite = SUITES[number]
        assert suite_by_id(number) is suite
        for spelling in (name, name.lower(), name.upper()):
            assert suite_by_name(spelling) is suite
    for bad in (0, 5, -1, 255):
        with pytest.raises(UnsupportedError):
            suite_by_id(bad)
    for text in ("", "P256", " P256_AESGCM_SHA256", "P256+MLKEM768_AESGCM_SHA512"):
        with pytest.raises(UnsupportedError):
            suite_by_name(text)


@pytest.mark.parametrize(
    ("number", "pattern", "name"),
    [
        (1, "IKpsk2", "Noise_IKhfs+psk2_P256+MLKEM768_AESGCM_SHA256"),
        (1, "XXpsk0", "Noise_XXhfs+psk0_P256+MLKEM768_AESGCM_SHA256"),
        (2, "XX", "Noise_XXhfs_25519+MLKEM768_ChaChaPoly_BLAKE2s"),
        (3, "IKpsk2", "Noise_IKpsk2_P256_AESGCM_SHA256"),
        (4, "X1K1psk0+psk2", "Noise_X1K1psk0+psk2_25519_ChaChaPoly_BLAKE2s"),
        (4, "NN", "Noise_NN_25519_ChaChaPoly_BLAKE2s"),
    ],
)
def test_noise_name(number: int, pattern: str, name: str) -> None:
    """NH-1, NH-2; LK-3."""
    assert SUITES[number].noise_name(pattern) == name
    assert NoiseProtocol.parse(name).name == name


@pytest.mark.parametrize("pattern", ["", "ik", "IKhfs", "IKhfs+psk2", "IK+psk2", "IKpsk2+", "IK_25519", "IKfallback"])
def test_only_classical_patterns_have_a_noise_name(pattern: str) -> None:
    with pytest.raises(UsageError):
        DEFAULT_SUITE.noise_name(pattern)


def test_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        DEFAULT_SUITE.dh = "448"  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(TypeError):
        SUITES[5] = DEFAULT_SUITE  # type: ignore[index]  # pyright: ignore[reportIndexIssue]
