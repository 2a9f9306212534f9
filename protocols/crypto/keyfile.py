"""Static keys as PEM: private as PKCS#8 (RFC 5958), public as SubjectPublicKeyInfo (RFC 5280, RFC 8410).

OpenSSL and every other tool read both. Nothing here touches a file, and no error repeats a byte of what it
was given: it may be a private key, or the wrong file altogether.
"""

from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.x448 import X448PrivateKey, X448PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from protocols.crypto.dh import DH_FUNCTIONS, P256Key, SoftwareKey, X448Key, X25519Key, parse_p256_point
from protocols.errors import KeyFormatError, UnsupportedError

_PRIVATE: Final = b"-----BEGIN PRIVATE KEY-----"
_ENCRYPTED: Final = b"-----BEGIN ENCRYPTED PRIVATE KEY-----"
_PUBLIC: Final = b"-----BEGIN PUBLIC KEY-----"
_BEGIN: Final = b"-----BEGIN "
MAX_PEM_BYTES: Final = 16_384
"""Larger input is no key of ours and is not parsed."""


def private_key_pem(key: SoftwareKey) -> bytes:
    """Return a private key as unencrypted PKCS#8: whoever stores it must keep others from reading it."""
    private = key.private_bytes()
    native: X25519PrivateKey | X448PrivateKey | ec.EllipticCurvePrivateKey
    if key.dh == X25519Key.dh:
        native = X25519PrivateKey.from_private_bytes(private)
    elif key.dh == X448Key.dh:
        native = X448PrivateKey.from_private_bytes(private)
    elif key.dh == P256Key.dh:
        native = ec.derive_private_key(int.from_bytes(private, "big"), ec.SECP256R1())
    else:
        raise UnsupportedError(f"a {key.dh} key has no file format here")
    return native.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def parse_private_key_pem(pem: bytes) -> SoftwareKey:
    """Return the key of a PKCS#8 file; KeyFormatError says what the file is instead."""
    if _ENCRYPTED in pem:
        raise KeyFormatError("the key is encrypted with a passphrase; only unencrypted PKCS#8 is read")
    _check_block(pem, _PRIVATE, "private key in PKCS#8 PEM")
    try:
        native = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise KeyFormatError("the private key is damaged or of an unknown kind") from None
    if isinstance(native, X25519PrivateKey):
        return X25519Key(native)
    if isinstance(native, X448PrivateKey):
        return X448Key(native)
    if isinstance(native, ec.EllipticCurvePrivateKey) and isinstance(native.curve, ec.SECP256R1):
        return P256Key(native)
    raise KeyFormatError("the private key is for another algorithm than P256, 25519 or 448")


def public_key_pem(dh: str, public: bytes) -> bytes:
    """Return a public key as SubjectPublicKeyInfo; BadPublicKeyError if it is none."""
    if dh not in DH_FUNCTIONS:
        raise UnsupportedError(f"a {dh} key has no file format here")
    DH_FUNCTIONS[dh].check_public(public)
    native: X25519PublicKey | X448PublicKey | ec.EllipticCurvePublicKey
    if dh == X25519Key.dh:
        native = X25519PublicKey.from_public_bytes(public)
    elif dh == X448Key.dh:
        native = X448PublicKey.from_public_bytes(public)
    else:
        native = parse_p256_point(public)
    return native.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def parse_public_key_pem(pem: bytes) -> tuple[str, bytes]:
    """Return (DH name, public key) of a SubjectPublicKeyInfo file; KeyFormatError."""
    _check_block(pem, _PUBLIC, "public key in PEM")
    try:
        native = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm):
        raise KeyFormatError("the public key is damaged or of an unknown kind") from None
    if isinstance(native, X25519PublicKey):
        return X25519Key.dh, native.public_bytes_raw()
    if isinstance(native, X448PublicKey):
        return X448Key.dh, native.public_bytes_raw()
    if isinstance(native, ec.EllipticCurvePublicKey) and isinstance(native.curve, ec.SECP256R1):
        return P256Key.dh, native.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    raise KeyFormatError("the public key is for another algorithm than P256, 25519 or 448")


def _check_block(pem: bytes, begin: bytes, what: str) -> None:
    # One block and no more: a file with two keys leaves open which of them the user means.
    if len(pem) > MAX_PEM_BYTES or begin not in pem or pem.count(_BEGIN) != 1:
        raise KeyFormatError(f"this is not one {what}")
