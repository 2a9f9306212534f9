"""Cookies, refusals and key ids (specs/1-link.md, 1.1, 1.3 and 1.6)."""

import base64
import hashlib
import struct
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tests.tools.make_vectors import packets
from tests.tools.make_vectors.base import Json, flip, hkdf, mac, secret
from tests.tools.make_vectors.handshakes import Case, cases, index
from tests.tools.make_vectors.noise import SUITES, public_of

_ADDRESSES: Final = (
    {"kind": 1, "host": bytes((192, 0, 2, 7)), "port": 14_550, "scope": 0},
    {"kind": 2, "host": bytes.fromhex("20010db8000000000000000000000007"), "port": 65_535, "scope": 3},
    {"kind": 3, "host": secret("key id of an outer peer", 16), "port": 0xFFFFFFFF, "scope": 0},
)


def _encoded(address: Json) -> bytes:
    host: bytes = address["host"]
    return bytes((address["kind"], len(host))) + host + struct.pack(">II", address["port"], address["scope"])


def _cookie(case: Case, address: Json) -> bytes:
    """LK-23: how a responder makes it is its own business; this is how ours does."""
    return mac(secret(f"{case.name} cookie secret"), _encoded(address))


def _reply(case: Case, cookie: bytes, *, key: bytes | None = None, initiation_mac1: bytes | None = None) -> bytes:
    """LK-24."""
    salt = secret(f"{case.name} cookie salt")
    body = case.bodies[0]
    sealed = AESGCM(hkdf(key or case.mac1_key, salt, b"cookie")).encrypt(
        bytes(12), cookie, initiation_mac1 or mac(case.mac1_key, body)
    )
    return struct.pack(">B3xI", packets.COOKIE_REPLY, case.sender) + salt + sealed


def _all() -> Iterator[tuple[Case, Json]]:
    every = [case for suite in SUITES for case in cases(suite)[:2]]
    for number, case in enumerate(every):
        yield case, _ADDRESSES[number % len(_ADDRESSES)]


def vectors() -> list[Json]:
    """Return, for each handshake, the cookie reply to its initiation and the initiation that comes next."""
    return [_vector(case, address) for case, address in _all()]


def _vector(case: Case, address: Json) -> Json:
    cookie = _cookie(case, address)
    initiation = packets.initiation(case.bodies[0], case.mac1_key, cookie)
    retry = _retry(case)
    side = retry.inputs.initiator
    return {
        "name": case.name,
        "handshake": case.name,
        "address": address,
        "encoded_address": _encoded(address),
        "secret": secret(f"{case.name} cookie secret"),
        "cookie": cookie,
        "salt": secret(f"{case.name} cookie salt"),
        "reply": _reply(case, cookie),
        "mac2": initiation[-16:],
        "initiation": initiation,
        "retry": {
            "initiation_counter": retry.counter,
            "index": retry.sender,
            "ephemeral_private": side.ephemeral,
            "kem_seed": side.kem if case.suite.hybrid else None,
            "datagram": packets.initiation(retry.bodies[0], case.mac1_key, cookie),
        },
    }


def _retry(case: Case) -> Case:
    """LK-44: a new counter, new ephemeral keys, a new index."""
    label = f"{case.name} retry"
    sender, counter = index(label), case.counter + 1
    side = replace(case.inputs.initiator, ephemeral=secret(f"{label} ephemeral"), kem=secret(f"{label} kem", 64))
    payload = packets.initiation_payload(case.suite, case.kind, counter, sender)
    renewed = case.again(initiator=side, payloads=(payload, *case.inputs.payloads[1:]))
    return replace(renewed, sender=sender, counter=counter)


def failures() -> list[Json]:
    """Return replies that an initiator ignores, and initiations under load that get a cookie and nothing else."""
    return [row for case, address in _all() if not case.suite.hybrid for row in _failures(case, address)]


def _failures(case: Case, address: Json) -> Iterator[Json]:
    cookie = _cookie(case, address)
    good = _reply(case, cookie)

    def made(message: str, what: str, datagram: bytes, expect: str) -> Json:
        return {"name": f"{message} of {case.name}: {what}", "handshake": case.name, "message": message,
                "datagram": datagram, "expect": expect}  # fmt: skip

    replies = {
        "first bit of the salt": (flip(good, 8, 7), "decrypt"),
        "first bit of the cookie": (flip(good, 40, 7), "decrypt"),
        "last bit of the tag": (flip(good, 71), "decrypt"),
        "made for another initiation": (_reply(case, cookie, initiation_mac1=secret("mac1", 16)), "decrypt"),
        "made with another key": (_reply(case, cookie, key=secret("stranger")), "decrypt"),
        "another index": (flip(good, 4), "unknown index"),
        "index 0": (good[:4] + bytes(4) + good[8:], "header"),
        "reserved byte": (flip(good, 2), "reserved bits"),
        "a byte less": (good[:-1], "length"),
        "a byte more": (good + b"\0", "length"),
    }
    for what, (datagram, expect) in replies.items():
        yield made("cookie reply", what, datagram, expect)
    body, key = case.bodies[0], case.mac1_key
    with_cookie = packets.initiation(body, key, cookie)
    other = dict(address, port=address["port"] - 1)
    stranger = hashlib.sha256(b"another secret").digest()
    for what, datagram in {
        "no cookie": packets.initiation(body, key),
        "last bit of mac2": flip(with_cookie, len(with_cookie) - 1),
        "cookie of another port": packets.initiation(body, key, _cookie(case, other)),
        "cookie of another responder": packets.initiation(body, key, mac(stranger, _encoded(address))),
        "mac2 keyed by the mac1 key": packets.initiation(body, key, key),
    }.items():
        yield made("initiation", what, datagram, "mac2")


def refusals() -> list[Json]:
    """Return every refusal code, for a session and a pairing."""
    classical = [case for suite in SUITES if not suite.hybrid for case in cases(suite)[:2]]
    return [
        {"name": f"code {code} to {case.name}", "handshake": case.name, "mac1_key": case.mac1_key, "code": code,
         "receiver": case.sender, "datagram": (body := packets.refused(code, case.sender, case.mac1_key)),
         "record": packets.record(body)}
        for case in classical for code in (1, 2, 3, 4)
    ]  # fmt: skip


def refusal_failures() -> list[Json]:
    """Return refusals that leave no hint behind."""
    found: list[Json] = []
    for case in cases(SUITES[2])[:2]:
        good = packets.refused(3, case.sender, case.mac1_key)

        def signed(body: bytes, key: bytes = case.mac1_key) -> bytes:
            return packets.with_mac1(body, key)

        for what, (body, expect) in {
            "last bit of mac1": (flip(good, 23), "mac1"),
            "another code under the old mac1": (flip(good, 1), "mac1"),
            "mac1 of another responder or code": (signed(good[:8], secret("stranger")), "mac1"),
            "code 0": (signed(good[:1] + b"\0" + good[2:8]), "unknown value"),
            "code 5": (signed(good[:1] + b"\5" + good[2:8]), "unknown value"),
            "reserved byte": (signed(flip(good[:8], 3)), "reserved bits"),
            "another index": (packets.refused(3, case.sender ^ 2, case.mac1_key), "unknown index"),
            "a byte less": (good[:-1], "length"),
            "a byte more": (good + b"\0", "length"),
        }.items():
            found.append({"name": f"{what}, to {case.name}", "handshake": case.name, "datagram": body,
                          "record": packets.record(body), "expect": expect})  # fmt: skip
    return found


def key_ids() -> list[Json]:
    """Return the key id, fingerprint and mac1 key of the devices of the handshakes (LK-5, LK-20)."""
    found: list[Json] = []
    for suite in SUITES:
        inputs = cases(suite)[0].inputs
        for who, side in (("initiator", inputs.initiator), ("responder", inputs.responder)):
            dh, public = "P256" if suite.p256 else "25519", public_of(suite, side.static)
            key_id = hashlib.sha256(b"Aerolink key id v1" + bytes((len(dh),)) + dh.encode() + public).digest()[:16]
            letters = base64.b32encode(key_id).decode().rstrip("=").lower()
            found.append({
                "name": f"{who} of suite {suite.id}", "dh": dh, "public": public, "key_id": key_id,
                "fingerprint": "-".join(letters[at : at + 4] for at in range(0, 26, 4)),
                "mac1_key": hkdf(public, b"", b"mac1"),
            })  # fmt: skip
    return found
