"""curl and openssl as clients of the whole cloud, over mutual TLS (specs/9-cloudlink.md, 10-key-life-cycle.md)."""

import hashlib
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from nodes.pki.authority import DeviceAuthority
from protocols.cloud_api import RouteId, path_of
from protocols.cloudlink import decode_untrusted, encode
from protocols.enrolment import EnrolmentToken
from protocols.pki import CertificateKey, make_csr
from specs.cloudlink import (
    CHUNK_HASH_HEADER,
    MAX_CHUNK_BYTES,
    Accepted,
    CloudTime,
    DownlinkAck,
    Enrolment,
    Health,
    IssuedCertificate,
    Renewal,
    TelemetryBatch,
    UploadKind,
    UploadOpen,
    UploadPhase,
    UploadState,
)
from tests.live.site import DAY_S, HOSTS, Heard, Papers, Site, cloud_in, curl, enrolled, papers, s_client

HEALTH: Final = path_of(RouteId.HEALTH)
GET_HEALTH: Final = f"GET {HEALTH} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode()
MESSAGE: Final = b"\x05\x01" + bytes(8)
OBJECT: Final = hashlib.shake_256(b"an object").digest(MAX_CHUNK_BYTES + 400_000)


@pytest.fixture(name="site")
async def make_site(tmp_path: Path) -> AsyncGenerator[Site]:
    async with cloud_in(tmp_path / "cloud") as site:
        yield site


# --- who is let in ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Refusal:
    """How somebody is refused, and who says what."""

    words: str
    """Of the alert, as both programs print them."""
    alert: int
    """Its number (RFC 8446, 6.2)."""
    operator: str
    """What the cloud tells its operator."""
    options: tuple[str, ...] = ()
    """Of curl."""
    s_client: tuple[str, ...] = ()


REFUSED: Final = {
    "nobody": Refusal("certificate required", 116, "has no certificate"),
    "foreign": Refusal("unknown ca", 48, "authority that is not trusted"),
    "expired": Refusal("certificate expired", 45, "has expired"),
    "not-yet-valid": Refusal("bad certificate", 42, "is not valid yet"),
    "revoked": Refusal("certificate revoked", 44, "is revoked"),
    "tls-1.2": Refusal("protocol version", 70, "does not speak TLS 1.3", ("--tls-max", "1.2"), ("-tls1_2",)),
}


async def refused_papers(name: str, folder: Path, site: Site) -> Papers | None:
    """Return what somebody shows who is refused."""
    if name == "nobody":
        return None
    if name == "foreign":
        other = await DeviceAuthority.open(folder / "other" / "pki", HOSTS, time.time())
        try:
            return await enrolled(other, folder, time.time())
        finally:
            await other.aclose()
    if name == "not-yet-valid":
        return site.issued_at(time.time() + DAY_S)
    who = await site.enrolled()
    if name == "revoked":
        assert (await curl(site, HEALTH, who=who)).status == 200
        await site.cloud.revoke_device(who.device)
    return who


async def expect_refusal(site: Site, who: Papers | None, refusal: Refusal) -> None:
    """Both programs are refused, each is told why, and so is the operator."""
    before = len(site.refusals())
    heard = await curl(site, HEALTH, *refusal.options, who=who)
    # TLS 1.3 tells a client with its first read, so curl fails when it receives (56); before, when it connects (35).
    assert heard.code == (35 if refusal.options else 56)
    assert f"alert {refusal.words}" in heard.said
    assert (heard.status, heard.body) == (0, b"")
    done = await s_client(site, "-ign_eof", *refusal.s_client, say=GET_HEALTH, who=who)
    assert f"SSL alert number {refusal.alert}".encode() in done.stderr
    assert done.returncode != 0
    assert b"HTTP/1.1" not in done.stdout
    told = site.refusals()[before:]
    assert len(told) == 2
    assert all(refusal.operator in each for each in told), told


@pytest.mark.parametrize("name", [name for name in REFUSED if name != "expired"])
async def test_kl_60_61_who_is_refused(name: str, site: Site, tmp_path: Path) -> None:
    await expect_refusal(site, await refused_papers(name, tmp_path, site), REFUSED[name])
    assert (await curl(site, HEALTH, who=await site.enrolled())).status == 200  # nobody else suffers


async def test_kl_42_61_a_certificate_that_has_run_out_is_refused(tmp_path: Path) -> None:
    """A device that was enrolled 100 days ago, and then switched off; the cloud has been up meanwhile, or again."""
    then = time.time() - 100 * DAY_S
    async with cloud_in(tmp_path / "cloud", lambda: then) as site:
        who = await enrolled(site.authority, tmp_path, then)
    async with cloud_in(tmp_path / "cloud") as site:
        await expect_refusal(site, who, REFUSED["expired"])


async def test_kl_64_a_certificate_that_was_never_recorded_finds_nothing(site: Site) -> None:
    """Whoever has the authority's key, but not the cloud, gets through TLS and no further."""
    who = site.issued_at(time.time())
    for path in (HEALTH, path_of(RouteId.CRL), "/v1/nothing"):
        assert (await curl(site, path, who=who)).status == 404
    assert site.refusals()


async def test_kl_60_62_what_openssl_sees_of_the_right_one(site: Site) -> None:
    who = await site.enrolled()
    done = await s_client(site, "-ign_eof", "-alpn", "h2,http/1.1", say=GET_HEALTH, who=who)
    head, _, body = done.stdout.partition(b"HTTP/1.1 200 OK\r\n")[2].partition(b"\r\n\r\n")
    assert b"Verify return code: 0 (ok)" in done.stdout
    assert b"New, TLSv1.3, Cipher is TLS_" in done.stdout
    assert b"ALPN protocol: http/1.1" in done.stdout
    assert b"New Session Ticket" not in done.stdout
    assert b"Connection: close" in head
    assert body.startswith(encode(Health(1)))
    assert done.returncode == 0
    assert site.refusals() == []


async def test_kl_60_keys_are_agreed_upon_in_one_group(site: Site) -> None:
    """A stranger cannot choose what costs the cloud most. Who sends another key first is asked for the right one."""
    who = await site.enrolled()
    for group in ("ffdhe8192", "ffdhe2048", "P-521", "X25519"):
        done = await s_client(site, "-groups", group, say=GET_HEALTH)
        assert b"SSL alert number 40" in done.stderr
    done = await s_client(site, "-ign_eof", "-groups", "X25519:P-256", say=GET_HEALTH, who=who)
    assert b"Temp Key: ECDH, prime256v1" in done.stdout
    assert b"HTTP/1.1 200 OK" in done.stdout


# --- what is asked for --------------------------------------------------------------------------


async def test_cl_5_hf_8_how_requests_are_refused(site: Site) -> None:
    who = await site.enrolled()
    own = path_of(RouteId.TELEMETRY, device=who.device)
    table: tuple[tuple[int, str, tuple[str, ...]], ...] = (
        (405, HEALTH, ("-X", "DELETE")),
        (405, HEALTH, ("--data", "a=b")),
        (501, HEALTH, ("-X", "PATCH")),
        (501, HEALTH, ("-I",)),
        (501, own, ("-T", "-")),
        (501, own, ("--data", "a=b", "-H", "Transfer-Encoding: chunked")),
        (505, HEALTH, ("--http1.0",)),
        (431, HEALTH, ("-H", f"X-Large: {'a' * 17_000}")),
        (431, HEALTH, tuple(option for number in range(70) for option in ("-H", f"X-{number}: a"))),
        (414, f"/{'a' * 3_000}", ()),
        (400, HEALTH, ("-H", "Host:")),
        (400, HEALTH, ("-H", "X-Letter: \N{LATIN SMALL LETTER E WITH ACUTE}")),
        (400, HEALTH, ("-H", "Connection: Upgrade", "-H", "Upgrade: h2c")),
        (400, HEALTH, ("--request-target", f"https://127.0.0.1{HEALTH}")),
        (400, own, ("--data", "a=b")),
        (413, own, ("--data", "a" * 70_000)),
        (413, own, ("-X", "POST", "-H", "Content-Length: 100000000000", "-H", "Expect:")),
    )
    for status, path, options in table:
        heard = await curl(site, path, *options, who=who, stdin=b"abc")
        assert (heard.status, heard.version) == (status, "1.1"), options[:2]
        assert len(heard.body) < 50 or "-I" in options  # a status, and nothing more
    assert (await curl(site, HEALTH, who=who)).status == 200


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/", 404),
        ("/v1", 404),
        ("/v1/", 404),
        ("//v1/health", 404),
        ("/v1//health", 404),
        ("/v1/health/", 404),
        ("/v1/health;a", 404),
        ("/v1/health?", 400),
        ("/v1/health?a=b", 404),
        ("/V1/health", 404),
        ("/v1/HEALTH", 404),
        ("/v1/enroll", 404),
        ("/v1/ca", 404),
        ("/v1/./health", 400),
        ("/v1/../v1/health", 400),
        ("/../../etc/passwd", 400),
        ("/v1/%68ealth", 400),
        ("/v1/%2e%2e/health", 400),
        ("/v1/health%00", 400),
        ("/v1\\health", 400),
    ],
)
async def test_cl_5_hf_7_a_path_has_one_spelling(path: str, status: int, site: Site) -> None:
    """What another reader might take for another path is malformed; what is no row of the table is not there."""
    assert (await curl(site, path, who=await site.enrolled())).status == status


async def test_hf_6_7_8_no_other_version_of_http(site: Site) -> None:
    who = await site.enrolled()
    offered = await s_client(site, "-ign_eof", "-alpn", "h2", say=b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", who=who)
    assert b"No ALPN negotiated" in offered.stdout
    assert b"HTTP/1.1 505 HTTP Version Not Supported\r\n" in offered.stdout
    simple = await s_client(site, "-ign_eof", say=f"GET {HEALTH}\r\n\r\n".encode(), who=who)
    assert b"HTTP/1.1 400 Bad Request\r\n" in simple.stdout
    for option in ("--http2", "--http2-prior-knowledge"):  # curl asks, and takes 1.1 when it does not get it
        heard = await curl(site, HEALTH, option, who=who)
        assert (heard.status, heard.version) in {(200, "1.1"), (0, "0")}


async def test_cl_6_another_devices_resources_are_not_there(site: Site, tmp_path: Path) -> None:
    one, other = await site.enrolled(), await site.enrolled()
    batch = tmp_path / "batch"
    batch.write_bytes(encode(TelemetryBatch(b"outbox-1", 1, (5,), (MESSAGE,))))
    foreign = path_of(RouteId.TELEMETRY, device=one.device)
    heard = await curl(site, foreign, "--data-binary", f"@{batch}", who=other)
    nobody = await curl(site, path_of(RouteId.TELEMETRY, device="0" * 32), "--data-binary", f"@{batch}", who=other)
    assert (heard.status, heard.body) == (nobody.status, nobody.body) == (404, b"404 Not Found\n")
    assert (await curl(site, path_of(RouteId.DOWNLINK, device=one.device, after=0), who=other)).status == 404
    assert list(await site.cloud.stores.records.telemetry(one.device)) == []


async def test_cl_10_to_23_a_device_that_is_a_shell_script(site: Site, tmp_path: Path) -> None:
    """Everything that a device does day by day, by curl alone."""
    who, body = await site.enrolled(), tmp_path / "body"

    async def ask(route: RouteId, content: bytes | None = None, *options: str, **parts: str | int) -> Heard:
        sending: tuple[str, ...] = ()
        if content is not None:
            body.write_bytes(content)
            sending = ("--data-binary", f"@{body}")
        return await curl(site, path_of(route, **parts), *sending, *options, who=who)

    own = {"device": who.device}
    assert decode_untrusted(Health, (await ask(RouteId.HEALTH)).body) == Health(1)
    cloud_time = decode_untrusted(CloudTime, (await ask(RouteId.TIME)).body)
    assert abs(cloud_time.time_ms / 1_000 - time.time()) < 60
    assert (await ask(RouteId.CRL)).body == await site.authority.crl()

    for repeated in (False, True):
        batch = encode(TelemetryBatch(b"outbox-1", 1, (5,), (MESSAGE,)))
        heard = await ask(RouteId.TELEMETRY, batch, **own)
        assert decode_untrusted(Accepted, heard.body) == Accepted(1, repeated=repeated)
    assert [row.items for row in await site.cloud.stores.records.telemetry(who.device)] == [1]

    digest = hashlib.sha256(OBJECT).digest()
    opened = await ask(RouteId.UPLOAD_OPEN, encode(UploadOpen(UploadKind.FILE, "f", len(OBJECT), digest)), **own)
    state = decode_untrusted(UploadState, opened.body)
    wrong = ("-T", str(body), "-H", f"{CHUNK_HASH_HEADER}: {'0' * 64}")
    body.write_bytes(OBJECT[:MAX_CHUNK_BYTES])
    heard = await ask(RouteId.UPLOAD_CHUNK, None, *wrong, upload=state.upload, offset=0, **own)
    assert heard.status == 422
    while state.offset < len(OBJECT):
        chunk = OBJECT[state.offset : state.offset + MAX_CHUNK_BYTES]
        body.write_bytes(chunk)
        options = ("-T", str(body), "-H", f"{CHUNK_HASH_HEADER}: {hashlib.sha256(chunk).hexdigest()}")
        heard = await ask(RouteId.UPLOAD_CHUNK, None, *options, upload=state.upload, offset=state.offset, **own)
        state = decode_untrusted(UploadState, heard.body)
    heard = await ask(RouteId.UPLOAD_FINISH, b"", upload=state.upload, **own)
    assert decode_untrusted(UploadState, heard.body).phase is UploadPhase.STORED
    assert (site.folder / "state" / "blobs" / state.upload).read_bytes() == OBJECT

    sequence = await site.cloud.api.downlinks.send(who.device, "topic", {"a": 1})
    assert (await ask(RouteId.DOWNLINK_ACK, encode(DownlinkAck(sequence)), **own)).status == 200
    assert (await site.cloud.stores.records.queue_state(who.device)).messages == 0

    key = CertificateKey.from_pem(who.file.read_bytes().partition(b"-----BEGIN CERTIFICATE")[0])
    heard = await ask(RouteId.CERTIFICATE, encode(Renewal(make_csr(key))), **own)
    assert decode_untrusted(IssuedCertificate, heard.body).certificate == who.der  # it is young: the same again
    assert site.refusals() == []


# --- enrolment ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Asking:
    """A device that has a token, and curl."""

    site: Site
    folder: Path

    async def ask(self, token: str, key: CertificateKey, *options: str) -> Heard:
        body = self.folder / "enrolment"
        body.write_bytes(encode(Enrolment(token, make_csr(key))))
        path = path_of(RouteId.ENROL)
        return await curl(self.site, path, "--data-binary", f"@{body}", *options, at=self.site.enrolment)


async def test_kl_32_34_a_token_lets_in_one_device(site: Site, tmp_path: Path) -> None:
    asking, key, other = Asking(site, tmp_path), CertificateKey.generate(), CertificateKey.generate()
    token = (await site.authority.make_token(time.time(), name="by curl")).text()
    first = await curl(site, path_of(RouteId.AUTHORITY), "-k", at=site.enrolment)  # knows nobody yet
    assert first.body == site.authority.ca_der
    assert EnrolmentToken.parse(token).pins(first.body)
    issued = await asking.ask(token, key)
    assert issued.status == 200
    who = papers(tmp_path, key, decode_untrusted(IssuedCertificate, issued.body).certificate)
    assert (await curl(site, HEALTH, who=who)).status == 200
    assert (await asking.ask(token, key)).body == issued.body  # the answer may have been lost
    second = await asking.ask(token, other)
    assert (second.status, second.body) == (403, b"403 Forbidden\n")
    assert [each.device_id for each in await site.authority.devices()] == [who.device]


async def test_kl_30_32_tokens_that_let_nobody_in(site: Site, tmp_path: Path) -> None:
    asking, key = Asking(site, tmp_path), CertificateKey.generate()
    unknown = EnrolmentToken.generate(lambda count: b"\x07" * count, site.authority.ca_der).text()
    foreign = EnrolmentToken.generate(lambda count: b"\x07" * count, b"another authority").text()
    late = (await site.authority.make_token(time.time() - 200, lifetime_s=100)).text()
    for token, status in ((unknown, 403), (foreign, 403), (late, 403), (f"{unknown[:-1]}?", 400), ("", 400)):
        heard = (
            await asking.ask(token, key)
            if token
            else await curl(site, path_of(RouteId.ENROL), "--data", "token", at=site.enrolment)
        )
        assert heard.status == status
    assert list(await site.authority.devices()) == []


async def test_kl_36_tokens_are_not_guessed(site: Site, tmp_path: Path) -> None:
    asking, key = Asking(site, tmp_path), CertificateKey.generate()
    wrong = EnrolmentToken.generate(lambda count: b"\x07" * count, site.authority.ca_der).text()
    once_more = [f"https://{site.enrolment}{path_of(RouteId.ENROL)}"] * 40
    heard = await asking.ask(wrong, key, *once_more)
    refused = heard.body.count(b"403 Forbidden")
    assert 20 <= refused < 40  # one more for each second that this takes
    assert heard.body.count(b"429 Too Many Requests") == 41 - refused
    assert heard.status == 429
    assert (await curl(site, path_of(RouteId.AUTHORITY), at=site.enrolment)).status == 200


async def test_kl_60_65_what_the_enrolment_port_does_not_do(site: Site) -> None:
    who = await site.enrolled()
    old = await curl(site, path_of(RouteId.AUTHORITY), "--tls-max", "1.2", at=site.enrolment)
    assert (old.code, old.status) == (35, 0)
    assert "alert protocol version" in old.said
    for path in (HEALTH, path_of(RouteId.TIME), path_of(RouteId.DOWNLINK, device=who.device, after=0)):
        assert (await curl(site, path, who=who, at=site.enrolment)).status == 404
    assert (await curl(site, path_of(RouteId.ENROL), at=site.enrolment)).status == 405
