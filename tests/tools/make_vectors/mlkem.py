"""ML-KEM-768.Encaps with its randomness given (FIPS 203, algorithms 17 and 14): ``cryptography`` has no such call.

For vectors only: neither fast nor of constant time.
"""

import hashlib
from typing import Final

_Q: Final = 3329
_K: Final = 3
_DU, _DV = 10, 4
Poly = list[int]


def _reversed7(number: int) -> int:
    return int(f"{number:07b}"[::-1], 2)


_ZETAS: Final = [pow(17, _reversed7(i), _Q) for i in range(128)]
_GAMMAS: Final = [pow(17, 2 * _reversed7(i) + 1, _Q) for i in range(128)]


def encapsulate(public: bytes, message: bytes) -> tuple[bytes, bytes]:
    """Return (shared secret, ciphertext) of the 32 bytes ``message`` (the standard's m)."""
    shared = hashlib.sha3_512(message + hashlib.sha3_256(public).digest()).digest()
    return shared[:32], _encrypt(public, message, shared[32:])


def _encrypt(public: bytes, message: bytes, coins: bytes) -> bytes:
    t_hat = [_decode(public[384 * i : 384 * (i + 1)], 12) for i in range(_K)]
    rho = public[384 * _K :]
    noise = [_noise(coins, n) for n in range(2 * _K + 1)]
    y_hat = [_ntt(poly) for poly in noise[:_K]]
    ciphertext = b""
    for i in range(_K):
        row = [_sample(rho + bytes((i, j))) for j in range(_K)]  # column i of A: the transposed matrix
        u = _add(_inverse_ntt(_dot(row, y_hat)), noise[_K + i])
        ciphertext += _encode([_compress(x, _DU) for x in u], _DU)
    mu = [(_Q + 1) // 2 * bit for bit in _decode(message, 1)]
    v = _add(_add(_inverse_ntt(_dot(t_hat, y_hat)), noise[-1]), mu)
    return ciphertext + _encode([_compress(x, _DV) for x in v], _DV)


def _decode(data: bytes, bits: int) -> Poly:
    number = int.from_bytes(data, "little")
    return [number >> bits * i & (1 << bits) - 1 for i in range(256)]


def _encode(poly: Poly, bits: int) -> bytes:
    number = sum(x << bits * i for i, x in enumerate(poly))
    return number.to_bytes(32 * bits, "little")


def _compress(x: int, bits: int) -> int:
    return ((x << bits + 1) + _Q) // (2 * _Q) % (1 << bits)


def _sample(seed: bytes) -> Poly:
    stream, poly = hashlib.shake_128(seed).digest(3 * 1024), list[int]()
    for a, b, c in zip(stream[::3], stream[1::3], stream[2::3], strict=True):
        poly += [x for x in (a + 256 * (b % 16), b // 16 + 16 * c) if x < _Q]
    return poly[:256]


def _noise(coins: bytes, number: int) -> Poly:
    bits = _decode(hashlib.shake_256(coins + bytes((number,))).digest(128), 4)
    return [((x & 1) + (x >> 1 & 1) - (x >> 2 & 1) - (x >> 3 & 1)) % _Q for x in bits]


def _ntt(poly: Poly) -> Poly:
    f, i, length = list(poly), 1, 128
    while length >= 2:
        for start in range(0, 256, 2 * length):
            for j in range(start, start + length):
                t = _ZETAS[i] * f[j + length]
                f[j], f[j + length] = (f[j] + t) % _Q, (f[j] - t) % _Q
            i += 1
        length //= 2
    return f


def _inverse_ntt(poly: Poly) -> Poly:
    f, i, length = list(poly), 127, 2
    while length <= 128:
        for start in range(0, 256, 2 * length):
            for j in range(start, start + length):
                t = f[j]
                f[j], f[j + length] = (t + f[j + length]) % _Q, _ZETAS[i] * (f[j + length] - t) % _Q
            i -= 1
        length *= 2
    return [x * 3303 % _Q for x in f]


def _dot(left: list[Poly], right: list[Poly]) -> Poly:
    total = [0] * 256
    for a, b in zip(left, right, strict=True):
        for i in range(128):
            a0, a1, b0, b1 = a[2 * i], a[2 * i + 1], b[2 * i], b[2 * i + 1]
            total[2 * i] = (total[2 * i] + a0 * b0 + a1 * b1 * _GAMMAS[i]) % _Q
            total[2 * i + 1] = (total[2 * i + 1] + a0 * b1 + a1 * b0) % _Q
    return total


def _add(a: Poly, b: Poly) -> Poly:
    return [(x + y) % _Q for x, y in zip(a, b, strict=True)]
