"""Key pairs, key sources, DH functions and KEMs (protocols/crypto/dh.py, kem.py, keys.py)."""

import pickle
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from protocols.crypto import kem as kem_module
from protocols.crypto.dh import DH_FUNCTIONS, DhFunction, P256Key
from protocols.crypto.kem import KEMS, MlKem768Key
from protocols.crypto.keys import FixedKeySource, SystemKeySource, load_static_key
from protocols.crypto.signatures import EcdsaP256Key, MlDsa65Key
from protocols.errors import AerolinkError, BadPublicKeyError, KeyFormatError, UnsupportedError, UsageError

N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""Order of P-256."""
rows = pytest.mark.parametrize("row", DH_FUNCTIONS.values(), ids=list(DH_FUNCTIONS))


@rows
def test_both_sides_agree_and_lengths_are_as_the_row_says(row: DhFunction) -> None:
    """NP-1, NP-3."""
    a, b = row.generate(), row.generate()
    secret = a.exchange(b.public)
    assert secret == b.exchange(a.public)
    assert a.dh == row.name
    assert (len(a.private_bytes()), len(a.public), len(secret)) == (
        row.private_length,
        row.public_length,
        row.secret_length,
    )
    row.check_public(a.public)


@rows
def test_a_key_survives_the_key_store(row: DhFunction) -> None:
    key = row.generate()
    again = load_static_key(row.name, key.private_bytes())
    assert (again.public, again.private_bytes()) == (key.public, key.private_bytes())


@rows
@pytest.mark.parametrize("change", [-1, 1, -200])
def test_wrong_lengths(row: DhFunction, change: int) -> None:
    key = row.generate()
    with pytest.raises(KeyFormatError):
        row.from_private_bytes((key.private_bytes() + b"\0")[: max(row.private_length + change, 0)])
    public = (key.public + b"\0")[: max(row.public_length + change, 0)]
    with pytest.raises(BadPublicKeyError):
        row.check_public(public)
    with pytest.raises(BadPublicKeyError):
        key.exchange(public)


def test_p256_scalars() -> None:
    """NP-2: 1 .. n-1, 32 bytes, big-endian."""
    for scalar in (0, N, N + 1, 2**256 - 1):
        with pytest.raises(KeyFormatError):
            P256Key.from_private_bytes(scalar.to_bytes(32, "big"))
    one = P256Key.from_private_bytes((1).to_bytes(32, "big"))
    last = P256Key.from_private_bytes((N - 1).to_bytes(32, "big"))
    assert one.public[1:33].hex() == "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"  # G
    assert last.public[:33] == one.public[:33]  # -G
    assert last.public != one.public
    assert one.private_bytes() == (1).to_bytes(32, "big")


def test_p256_keeps_leading_zeros() -> None:
    """NP-3: the shared x is 32 bytes, whatever its size."""
    one = P256Key.from_private_bytes((1).to_bytes(32, "big"))
    small = next(
        key for key in (P256Key.from_private_bytes(d.to_bytes(32, "big")) for d in range(1, 5000)) if key.public[1] == 0
    )
    secret = one.exchange(small.public)
    assert secret == small.public[1:33]
    assert secret[0] == 0


def test_p256_takes_one_encoding_only() -> None:
    """NP-5."""
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    compressed = key.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    public = key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    DH_FUNCTIONS["P256"].check_public(public)
    for bad in (
        compressed,
        b"\0",
        bytes([6 + public[-1] % 2]) + public[1:],
        public + b"\0",
        public[:-1] + bytes([public[-1] ^ 1]),
    ):
        with pytest.raises(BadPublicKeyError):
            DH_FUNCTIONS["P256"].check_public(bad)


@pytest.mark.parametrize("row", [DH_FUNCTIONS["25519"], DH_FUNCTIONS["448"]], ids=["25519", "448"])
@pytest.mark.parametrize("u", [0, 1])
def test_low_order_points(row: DhFunction, u: int) -> None:
    """RFC 7748, 6.1 and 6.2: the all-zero secret is refused."""
    with pytest.raises(BadPublicKeyError):
        row.generate().exchange(u.to_bytes(row.public_length, "little"))


# --- KEM ------------------------------------------------------------------------------------------


def test_mlkem768() -> None:
    """NH-3: lengths, round trip, seed."""
    row = KEMS["MLKEM768"]
    key = row.generate()
    secret, ciphertext = row.encapsulate(key.public)
    assert key.decapsulate(ciphertext) == secret
    assert (len(key.public), len(ciphertext), len(secret)) == (1184, 1088, 32)
    assert key.kem == row.name
    seed = bytes(range(64))
    assert MlKem768Key.from_seed(seed).seed_bytes() == seed
    assert MlKem768Key.from_seed(seed).public == row.from_seed(seed).public


def test_mlkem768_refuses() -> None:
    """NH-4, NH-7: FIPS 203, 7.2 (length, modulus), 7.3 (length)."""
    row, key = KEMS["MLKEM768"], MlKem768Key.generate()
    overflow = b"\x01\x0d" + key.public[2:]  # the first coefficient is 0xd01 = q
    for bad in (b"", key.public[:-1], key.public + b"\0", overflow, b"\xff" * 1184):
        for call in (row.check_public, row.encapsulate):
            with pytest.raises(BadPublicKeyError):
                call(bad)
    for length in (0, 1087, 1089):
        with pytest.raises(BadPublicKeyError):
            key.decapsulate(bytes(length))
    for length in (0, 63, 65):
        with pytest.raises(KeyFormatError):
            MlKem768Key.from_seed(bytes(length))
    assert key.decapsulate(bytes(1088)) != key.decapsulate(bytes(1087) + b"\x01")  # implicit rejection


def test_a_build_without_mlkem(monkeypatch: pytest.MonkeyPatch) -> None:
    class Missing:
        @staticmethod
        def generate() -> None:
            raise UnsupportedAlgorithm("no ML-KEM")

    monkeypatch.setattr(kem_module, "MLKEM768PrivateKey", Missing)
    with pytest.raises(UnsupportedError):
        MlKem768Key.generate()


# --- sources --------------------------------------------------------------------------------------


def test_system_source() -> None:
    source = SystemKeySource()
    for name in DH_FUNCTIONS:
        assert source.dh_key(name).dh == name
        assert source.dh_key(name).public != source.dh_key(name).public
    key = source.kem_key("MLKEM768")
    secret, ciphertext = source.encapsulate("MLKEM768", key.public)
    assert key.decapsulate(ciphertext) == secret


@pytest.mark.parametrize(
    "call",
    [
        lambda: SystemKeySource().dh_key("25519x"),
        lambda: SystemKeySource().kem_key("MLKEM512"),
        lambda: SystemKeySource().encapsulate("", b""),
        lambda: FixedKeySource([bytes(32)], [bytes(64)]).dh_key("P384"),
        lambda: FixedKeySource([bytes(32)], [bytes(64)]).kem_key("P384"),
        lambda: FixedKeySource().encapsulate("MLKEM512", b""),
        lambda: load_static_key("", b""),
    ],
)
def test_unknown_names(call: Callable[[], object]) -> None:
    with pytest.raises(UnsupportedError):
        call()


def test_fixed_source_gives_each_key_once() -> None:
    pair = (b"s" * 32, b"c" * 1088)
    public = MlKem768Key.from_seed(bytes(64)).public
    source = FixedKeySource([b"\1" * 32, b"\2" * 32], [bytes(64)], [pair])
    assert [source.dh_key("25519").private_bytes()[0] for _ in range(2)] == [1, 2]
    assert source.kem_key("MLKEM768").public == public
    with pytest.raises(BadPublicKeyError):
        source.encapsulate("MLKEM768", b"\xff" * 1184)
    assert source.encapsulate("MLKEM768", public) == pair
    for call in (
        lambda: source.dh_key("25519"),
        lambda: source.kem_key("MLKEM768"),
        lambda: source.encapsulate("MLKEM768", public),
    ):
        with pytest.raises(UsageError, match="left"):
            call()


# --- secrets stay inside --------------------------------------------------------------------------

MARK = 0xA5
KEYS: list[Any] = [
    *(load_static_key(name, bytes([MARK]) * row.private_length) for name, row in DH_FUNCTIONS.items()),
    MlKem768Key.from_seed(bytes([MARK]) * 64),
    EcdsaP256Key.from_private_bytes(bytes([MARK]) * 32),
    MlDsa65Key.from_seed(bytes([MARK]) * 32),
]


@pytest.mark.parametrize("key", KEYS, ids=lambda key: type(key).__name__)
def test_no_secret_in_repr_or_errors(key: Any) -> None:
    shown = repr(key) + str(key) + f"{key}"
    assert shown.startswith(f"<{type(key).__name__} public=")
    assert not any(spelling in shown.lower() for spelling in ("a5a5", "\\xa5", str(int("a5" * 32, 16))))
    assert key.public.hex() not in shown
    assert not hasattr(key, "__dict__")
    with pytest.raises(TypeError):
        pickle.dumps(key)


@rows
def test_no_secret_in_an_error(row: DhFunction) -> None:
    secret = bytes([MARK]) * (row.private_length + 1)
    with pytest.raises(AerolinkError) as caught:
        row.from_private_bytes(secret)
    assert "a5" not in str(caught.value)
    assert caught.value.__cause__ is None
