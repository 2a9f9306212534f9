"""Every public Noise vector through our state machine, both directions (cacophony, snow; Noise rev 34).

snow's P-256 vectors use XChaCha20-Poly1305, which the product does not offer: here it comes from
pycryptodome, through the same pluggable table. Whatever else of this format lies in the folder is run too.
"""

from dataclasses import replace
from pathlib import Path
from struct import Struct
from typing import Any, cast

import pytest
from Crypto.Cipher import ChaCha20_Poly1305
from cryptography.exceptions import InvalidTag

from protocols.codec import Buffer
from protocols.crypto.ciphers import CIPHERS, Cipher
from protocols.noise import DEFAULT
from protocols.noise.vectors import Outcome, Vector, load_vectors_untrusted, protocol_name, run_vector
from tests.tools.public_vectors import vector_files


class XChaCha:
    """pycryptodome's XChaCha20-Poly1305 (24-byte nonces) in the shape of cryptography's AEADs."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def _new(self, nonce: Buffer, associated_data: Buffer | None) -> Any:
        cipher = ChaCha20_Poly1305.new(key=self._key, nonce=nonce)
        cipher.update(associated_data or b"")
        return cipher

    def encrypt(self, nonce: Buffer, data: Buffer, associated_data: Buffer | None, /) -> bytes:
        ciphertext, tag = self._new(nonce, associated_data).encrypt_and_digest(data)
        return cast("bytes", ciphertext + tag)

    def encrypt_into(self, nonce: Buffer, data: Buffer, associated_data: Buffer | None, buf: Buffer, /) -> int:
        memoryview(buf)[:] = self.encrypt(nonce, data, associated_data)
        return len(buf)

    def decrypt(self, nonce: Buffer, data: Buffer, associated_data: Buffer | None, /) -> bytes:
        try:
            plain = self._new(nonce, associated_data).decrypt_and_verify(data[:-16], data[-16:])
        except ValueError:
            raise InvalidTag from None
        return cast("bytes", plain)


TABLES = replace(DEFAULT, cipher={**CIPHERS, "XChaChaPoly": Cipher("XChaChaPoly", XChaCha, Struct("<16xQ").pack)})


def vectors() -> list[Any]:
    """One parameter per vector, named by file, index and protocol."""
    result: list[Any] = []
    for file in vector_files("noise", "*.txt"):
        if file.marks:  # the folder is missing: hand the skip on
            return [pytest.param(None, id=file.id, marks=file.marks)]
        (path,) = cast("tuple[Path]", file.values)
        for index, vector in enumerate(load_vectors_untrusted(path.read_bytes())):
            result.append(pytest.param(vector, id=f"{path.stem}-{index}-{protocol_name(vector)}"))
    return result


@pytest.mark.parametrize("vector", vectors())
def test_vector(vector: Vector) -> None:
    """Writes give exactly the ciphertexts, reads the payloads, and the handshake hash is the one given."""
    result = run_vector(vector, TABLES)
    assert result.outcome is Outcome.PASSED, result.reason
