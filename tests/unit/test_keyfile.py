import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from protocols.crypto.dh import DH_FUNCTIONS
from protocols.crypto.keyfile import (
    MAX_PEM_BYTES,
    parse_private_key_pem,
    parse_public_key_pem,
    private_key_pem,
    public_key_pem,
)
from protocols.errors import BadPublicKeyError, KeyFormatError, UnsupportedError


@pytest.mark.parametrize("dh", DH_FUNCTIONS)
def test_there_and_back(dh: str) -> None:
    key = DH_FUNCTIONS[dh].generate()
    pem = private_key_pem(key)
    back = parse_private_key_pem(pem)
    assert (back.dh, back.private_bytes(), back.public) == (dh, key.private_bytes(), key.public)
    assert private_key_pem(back) == pem
    assert parse_public_key_pem(public_key_pem(dh, key.public)) == (dh, key.public)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="compares with the openssl command")
@pytest.mark.parametrize("dh", DH_FUNCTIONS)
def test_openssl_reads_it_and_finds_the_same_public_key(dh: str, tmp_path: Path) -> None:
    key = DH_FUNCTIONS[dh].generate()
    (tmp_path / "key.pem").write_bytes(private_key_pem(key))
    asked = ["openssl", "pkey", "-in", str(tmp_path / "key.pem"), "-pubout"]
    said = subprocess.run(asked, capture_output=True, check=True).stdout
    assert said == public_key_pem(dh, key.public)


def _pem(key: PrivateKeyTypes, form: PrivateFormat = PrivateFormat.PKCS8, *, locked: bool = False) -> bytes:
    lock = BestAvailableEncryption(b"x") if locked else NoEncryption()
    return key.private_bytes(Encoding.PEM, form, lock)


def _files() -> list[tuple[bytes, str]]:
    p256 = ec.generate_private_key(ec.SECP256R1())
    pem = _pem(p256)
    return [
        (b"", "not one private key"),
        (pem + pem, "not one private key"),
        (pem + bytes(MAX_PEM_BYTES), "not one private key"),
        (public_key_pem("25519", bytes(31) + b"\x09"), "not one private key"),
        (_pem(p256, PrivateFormat.TraditionalOpenSSL), "not one private key"),
        (_pem(p256, locked=True), "encrypted"),
        (pem[:60] + pem[61:], "damaged"),
        (_pem(ec.generate_private_key(ec.SECP384R1())), "another algorithm"),
        (_pem(ed25519.Ed25519PrivateKey.generate()), "another algorithm"),
    ]


@pytest.mark.parametrize(("pem", "what"), _files(), ids=lambda value: value if isinstance(value, str) else "")
def test_what_is_no_private_key_is_named_without_its_content(pem: bytes, what: str) -> None:
    with pytest.raises(KeyFormatError, match=what) as caught:
        parse_private_key_pem(pem)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    for line in pem.split(b"\n")[1:-2]:
        assert line.decode("ascii", "replace") not in str(caught.value)


def test_what_is_no_public_key() -> None:
    key = DH_FUNCTIONS["P256"].generate()
    good = public_key_pem("P256", key.public)
    other = ec.generate_private_key(ec.SECP384R1()).public_key()
    bad = [private_key_pem(key), good[:60] + good[61:], good + good]
    bad.append(other.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    for pem in bad:
        with pytest.raises(KeyFormatError):
            parse_public_key_pem(pem)
    with pytest.raises(BadPublicKeyError):
        public_key_pem("P256", bytes(65))
    with pytest.raises(BadPublicKeyError):
        public_key_pem("25519", bytes(31))
    with pytest.raises(UnsupportedError):
        public_key_pem("P384", key.public)


def test_other_kinds_of_key_have_no_format() -> None:
    class Other:
        dh = "P384"
        public = b""

        def exchange(self, peer_public: bytes) -> bytes:
            return peer_public

        def private_bytes(self) -> bytes:
            return b""

    with pytest.raises(UnsupportedError):
        private_key_pem(Other())
