"""The authority at work: who gets in, who stays out, what survives (specs/10-key-life-cycle.md)."""

import contextlib
import errno
import signal
import sqlite3
import ssl
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import trio
from cryptography import x509

from nodes.pki import authority as module
from nodes.pki.authority import LOOK_AGAIN_S, TRIES_AT_ONCE, DeviceAuthority
from nodes.pki.folder import AuthorityFolder
from protocols.enrolment import EnrolmentToken
from protocols.errors import (
    AerolinkError,
    CodeFormatError,
    ConfigError,
    MalformedError,
    NotPairedError,
    RevokedError,
    StorageError,
    UsageError,
)
from protocols.pki import (
    CertificateKey,
    CertificateRefusedError,
    CertificateTimeError,
    ClockError,
    Enrolled,
    TokenRefusedError,
    TooManyTriesError,
    Use,
    check_issued,
    device_id_of,
    make_csr,
    read_certificate_untrusted,
)
from specs.airlink.command import Answer, Result
from specs.certificates import DEVICE_LIFETIME_S, MAX_CLOCK_BACKSTEP_S, SERVER_LIFETIME_S
from specs.remotelink import RevokePeer
from tests.helpers.pki import DAY_S, HOSTS, NOW, Clock, authority_in, device_in, enrol, make_authority, odd_certificate
from tests.live.kit import until, virtual


def csr() -> bytes:
    return make_csr(CertificateKey.generate())


async def enrolled(authority: DeviceAuthority, key: CertificateKey, now: float = NOW) -> Enrolled:
    token = await authority.make_token(now)
    return await authority.enrol(token.text(), make_csr(key), now)


# --- the folder ---------------------------------------------------------------------------------


async def test_kl_1_everything_is_private_and_stays_the_same_authority(tmp_path: Path) -> None:
    async with authority_in(tmp_path) as authority:
        ca = authority.ca_der
        files = list((tmp_path / "cloud" / "pki").iterdir())
        assert {each.name for each in files} > {"ca.pem", "server.pem", "trust.pem", "authority.sqlite"}
        assert {stat.S_IMODE(each.stat().st_mode) & 0o077 for each in files} == {0}
        assert stat.S_IMODE((tmp_path / "cloud").stat().st_mode) == 0o700
        assert stat.S_IMODE((tmp_path / "cloud" / "pki").stat().st_mode) == 0o700
        with pytest.raises(ConfigError, match="in use by another process"):
            await DeviceAuthority.open(tmp_path / "cloud" / "pki", HOSTS, NOW)
    async with authority_in(tmp_path, NOW + 1) as again:
        assert again.ca_der == ca


@pytest.mark.parametrize("name", ["ca.pem", "authority.sqlite", "server.pem"])
async def test_kl_1_a_file_that_others_can_read_is_refused(tmp_path: Path, name: str) -> None:
    async with authority_in(tmp_path):
        pass
    path = tmp_path / "cloud" / "pki" / name
    path.chmod(0o640)
    with pytest.raises(ConfigError, match=f"{name} is open to other users: chmod 600"):
        await DeviceAuthority.open(path.parent, HOSTS, NOW)


async def test_an_authority_that_lost_its_key_makes_no_other_one(tmp_path: Path) -> None:
    """It would lock out every device without a word."""
    async with authority_in(tmp_path):
        pass
    path = tmp_path / "cloud" / "pki" / "ca.pem"
    pem = path.read_bytes()
    path.write_bytes(pem[:100])
    with pytest.raises(ConfigError, match="restore the file from a backup"):
        await DeviceAuthority.open(path.parent, HOSTS, NOW)
    path.unlink()
    with pytest.raises(ConfigError, match="restore it from a backup"):
        await DeviceAuthority.open(path.parent, HOSTS, NOW)


async def test_a_damaged_database_is_named(tmp_path: Path) -> None:
    async with authority_in(tmp_path):
        pass
    path = tmp_path / "cloud" / "pki" / "authority.sqlite"
    path.write_bytes(b"no database at all, and long enough to be one" * 100)
    with pytest.raises(StorageError, match=r"authority.sqlite cannot be opened: it is damaged"):
        await DeviceAuthority.open(path.parent, HOSTS, NOW)


@pytest.mark.parametrize(
    ("pragma", "words"),
    [
        ("user_version = 2", "format version 2; this Aerolink reads 1"),
        ("application_id = 7", "no file of an authority"),
    ],
)
async def test_a_database_of_another_kind_is_named(tmp_path: Path, pragma: str, words: str) -> None:
    async with authority_in(tmp_path):
        pass
    path = tmp_path / "cloud" / "pki" / "authority.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute(f"PRAGMA {pragma}")
    with pytest.raises(StorageError, match=words):
        await DeviceAuthority.open(path.parent, HOSTS, NOW)


async def test_a_name_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="neither a DNS name nor an IP address"):
        await DeviceAuthority.open(tmp_path / "cloud" / "pki", ["a b"], NOW)
    async with authority_in(tmp_path):
        pass  # the lock was given back


# --- enrolment ----------------------------------------------------------------------------------


async def test_kl_32_a_token_lets_one_key_in(tmp_path: Path) -> None:
    async with authority_in(tmp_path) as authority:
        token = await authority.make_token(NOW, name="mobile")
        key = CertificateKey.generate()
        first = await authority.enrol(token.text(), make_csr(key), NOW)
        certificate = read_certificate_untrusted(first.certificate_der)
        check_issued(certificate, read_certificate_untrusted(first.ca_der), Use.DEVICE, NOW)
        assert certificate.public == key.public
        assert first.ca_der == authority.ca_der
        assert await authority.check_peer(first.certificate_der, NOW) == device_id_of(first.certificate_der)
        # The answer was lost: the same again, and not another certificate.
        assert await authority.enrol(token.text().lower(), make_csr(key), NOW + 5) == first
        with pytest.raises(TokenRefusedError, match="used before"):
            await authority.enrol(token.text(), csr(), NOW)
        (device,) = await authority.devices()
        assert (device.device_id, device.name, device.revoked_s) == (certificate.device_id, "mobile", None)
        assert (device.enrolled_s, device.expires_s) == (NOW, NOW + DEVICE_LIFETIME_S)


async def test_kl_32_of_two_that_race_one_wins(tmp_path: Path) -> None:
    outcomes: list[object] = []

    async def race(authority: DeviceAuthority, text: str) -> None:
        try:
            outcomes.append(await authority.enrol(text, csr(), NOW))
        except TokenRefusedError as error:
            outcomes.append(error)

    async with authority_in(tmp_path) as authority:
        text = (await authority.make_token(NOW)).text()
        async with trio.open_nursery() as nursery:
            for _ in range(8):
                nursery.start_soon(race, authority, text)
        assert len(await authority.devices()) == 1
    assert sorted(type(each).__name__ for each in outcomes) == ["Enrolled"] + ["TokenRefusedError"] * 7


async def test_kl_32_two_that_have_the_file_open_race_for_one_token(tmp_path: Path) -> None:
    """As `aerolink cloud` beside a cloud, or two of them."""
    async with authority_in(tmp_path) as authority:
        token = await authority.make_token(NOW)
    outcomes: list[str] = []

    def race() -> None:
        with AuthorityFolder.open_beside(tmp_path / "cloud" / "pki", NOW) as folder:
            try:
                folder.enrol(token, csr(), NOW)
                outcomes.append("in")
            except TokenRefusedError:
                outcomes.append("out")

    async with trio.open_nursery() as nursery:
        for _ in range(6):
            nursery.start_soon(trio.to_thread.run_sync, race)
    assert sorted(outcomes) == ["in"] + ["out"] * 5


async def test_kl_32_what_is_no_valid_token(tmp_path: Path) -> None:
    async with authority_in(tmp_path) as authority, authority_in(tmp_path / "other") as other:
        token = await authority.make_token(NOW, lifetime_s=60)
        unknown = EnrolmentToken(bytes(16), token.fingerprint)
        with pytest.raises(TokenRefusedError, match="not known"):
            await authority.enrol(unknown.text(), csr(), NOW)
        with pytest.raises(TokenRefusedError, match="another authority"):
            await other.enrol(token.text(), csr(), NOW)
        with pytest.raises(CodeFormatError, match="typing mistake"):
            await authority.enrol(token.text()[:-1] + ("0" if token.text()[-1] != "0" else "1"), csr(), NOW)
        with pytest.raises(MalformedError):
            await authority.enrol(token.text(), b"no request", NOW)
        with pytest.raises(TokenRefusedError, match="has expired at"):
            await authority.enrol(token.text(), csr(), NOW + 60)
        assert await authority.devices() == ()
        await authority.enrol(token.text(), csr(), NOW + 59)  # none of that has used it up
        with pytest.raises(TokenRefusedError, match="has expired"):
            await authority.enrol(token.text(), csr(), NOW + 60)


async def test_kl_31_the_secret_of_a_token_is_stored_nowhere(tmp_path: Path) -> None:
    async with authority_in(tmp_path) as authority:
        token = await authority.make_token(NOW)
        await authority.enrol(token.text(), csr(), NOW)
        stored = b"".join(path.read_bytes() for path in (tmp_path / "cloud" / "pki").iterdir())
    assert token.stored() in stored
    assert token.secret not in stored
    assert token.secret.hex().encode() not in stored
    assert token.text().encode() not in stored


@pytest.mark.parametrize(
    ("name", "lifetime_s"), [("x" * 65, 60), ("a\nb", 60), ("", 0), ("", -1), ("", 30 * DAY_S + 1)]
)
async def test_tokens_that_are_not_made(tmp_path: Path, name: str, lifetime_s: int) -> None:
    async with authority_in(tmp_path) as authority:
        with pytest.raises(UsageError):
            await authority.make_token(NOW, name=name, lifetime_s=lifetime_s)


async def test_kl_36_one_source_tries_so_often_and_others_are_not_kept_out(tmp_path: Path) -> None:
    async with authority_in(tmp_path) as authority:
        token = await authority.make_token(NOW)
        wrong = EnrolmentToken(bytes(16), token.fingerprint).text()
        for _ in range(TRIES_AT_ONCE):
            with pytest.raises(TokenRefusedError):
                await authority.enrol(wrong, csr(), NOW, b"stranger")
        for text in (wrong, token.text(), "nonsense"):
            with pytest.raises(TooManyTriesError):
                await authority.enrol(text, csr(), NOW, b"stranger")
        await authority.enrol(token.text(), csr(), NOW, b"owner")
        with pytest.raises(TokenRefusedError):
            await authority.enrol(wrong, csr(), NOW + 1, b"stranger")
        with pytest.raises(TooManyTriesError):
            await authority.enrol(wrong, csr(), NOW + 1, b"stranger")


KILLED = """
import os, signal, sys
from pathlib import Path
from nodes.pki.folder import AuthorityFolder
from nodes.pki.records import AuthorityRecords
from protocols.enrolment import EnrolmentToken

folder = AuthorityFolder.open_beside(Path(sys.argv[1]), float(sys.argv[2]))
token = EnrolmentToken.parse(sys.stdin.readline())
csr = bytes.fromhex(sys.stdin.readline())
if sys.argv[3] == "before":
    add = AuthorityRecords._add_certificate
    def add_and_die(self, certificate):
        add(self, certificate)
        os.kill(os.getpid(), signal.SIGKILL)
    AuthorityRecords._add_certificate = add_and_die
folder.enrol(token, csr, float(sys.argv[2]))
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("when", ["before", "after"])
async def test_kl_2_32_kill_9_takes_both_or_neither(tmp_path: Path, when: str) -> None:
    key = CertificateKey.generate()
    async with authority_in(tmp_path) as authority:
        token = await authority.make_token(NOW)
    command = [sys.executable, "-c", KILLED, str(tmp_path / "cloud" / "pki"), str(NOW), when]
    lines = f"{token.text()}\n{make_csr(key).hex()}\n".encode()
    done = await trio.run_process(command, stdin=lines, check=False, capture_stderr=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    async with authority_in(tmp_path) as authority:
        before = [each.device_id for each in await authority.devices()]
        got = await authority.enrol(token.text(), make_csr(key), NOW)  # the device asks again
        assert [each.device_id for each in await authority.devices()] == [device_id_of(got.certificate_der)]
        assert before == ([] if when == "before" else [device_id_of(got.certificate_der)])
        with pytest.raises(TokenRefusedError):
            await authority.enrol(token.text(), csr(), NOW)


# --- renewal ------------------------------------------------------------------------------------


async def test_kl_41_a_certificate_is_renewed_for_its_own_key(tmp_path: Path) -> None:
    key = CertificateKey.generate()
    async with authority_in(tmp_path) as authority:
        first = await enrolled(authority, key)
        later = NOW + 60 * DAY_S
        with pytest.raises(TokenRefusedError, match="its own key"):
            await authority.renew(first.certificate_der, csr(), later)
        second = await authority.renew(first.certificate_der, make_csr(key), later)
        assert second.certificate_der != first.certificate_der
        certificate = read_certificate_untrusted(second.certificate_der)
        assert certificate.not_after_s == later + DEVICE_LIFETIME_S
        assert certificate.device_id == device_id_of(first.certificate_der)
        # The answer was lost, or asked for too early: the newest again.
        assert await authority.renew(first.certificate_der, make_csr(key), later + 1) == second
        assert await authority.renew(first.certificate_der, make_csr(key), later + 25 * DAY_S) == second
        # KL-40: the old one is good until its end
        assert await authority.check_peer(first.certificate_der, later + 25 * DAY_S) == certificate.device_id
        third = await authority.renew(second.certificate_der, make_csr(key), later + 46 * DAY_S)
        assert third not in {first, second}
        assert [each.expires_s for each in await authority.devices()] == [later + 46 * DAY_S + DEVICE_LIFETIME_S]


async def test_kl_41_a_clock_that_has_stepped_back_issues_no_more_than_one(tmp_path: Path) -> None:
    """Otherwise each request of a device, hundreds a second, would be a certificate more for good."""
    key = CertificateKey.generate()
    later = NOW + 60 * DAY_S
    async with authority_in(tmp_path) as authority:
        first = (await enrolled(authority, key)).certificate_der
        second = await authority.renew(first, make_csr(key), later)
        assert await authority.renew(first, make_csr(key), later - MAX_CLOCK_BACKSTEP_S) == second


async def test_kl_42_an_expired_certificate_is_not_renewed_and_enrols_again(tmp_path: Path) -> None:
    key = CertificateKey.generate()
    async with authority_in(tmp_path) as authority:
        first = await enrolled(authority, key)
        late = NOW + DEVICE_LIFETIME_S
        with pytest.raises(CertificateTimeError, match="has expired"):
            await authority.renew(first.certificate_der, make_csr(key), late)
        second = await enrolled(authority, key, late)
        assert device_id_of(second.certificate_der) == device_id_of(first.certificate_der)
        assert len(await authority.devices()) == 1


# --- who is at the other end --------------------------------------------------------------------


async def test_kl_64_only_what_was_issued_here_byte_for_byte(tmp_path: Path) -> None:
    key = CertificateKey.generate()
    async with authority_in(tmp_path) as authority, authority_in(tmp_path / "other") as other:
        der = (await enrolled(authority, key)).certificate_der
        foreign = (await enrolled(other, key)).certificate_der
        signature = bytes([der[-1] ^ 1])
        serial = bytes.fromhex(read_certificate_untrusted(der).serial)
        forged = make_authority().issue_device(key.public, NOW, lambda _: serial)
        own = AuthorityFolder.open_beside(tmp_path / "cloud" / "pki", NOW)
        with own:
            unrecorded = odd_certificate(own.authority, key)
        server = ssl.PEM_cert_to_DER_cert(
            "-----BEGIN CERT" + (tmp_path / "cloud" / "pki" / "server.pem").read_text().partition("-----BEGIN CERT")[2]
        )
        for bad in (b"", b"nonsense", foreign, der[:-1] + signature, forged.der, unrecorded, server, authority.ca_der):
            with pytest.raises(CertificateRefusedError):
                await authority.check_peer(bad, NOW)
        assert await authority.check_peer(der, NOW) == device_id_of(der)
        with pytest.raises(CertificateTimeError):
            await authority.check_peer(der, NOW + DEVICE_LIFETIME_S)


async def test_kl_43_a_revoked_device_is_out_for_good(tmp_path: Path) -> None:
    key = CertificateKey.generate()
    async with authority_in(tmp_path) as authority:
        first = await enrolled(authority, key)
        second = await authority.renew(first.certificate_der, make_csr(key), NOW + 50 * DAY_S)
        later = NOW + 51 * DAY_S
        context = authority.server_context()
        await authority.revoke(device_id_of(first.certificate_der), later)
        for certificate in (first.certificate_der, second.certificate_der):
            with pytest.raises(RevokedError):
                await authority.check_peer(certificate, later)
            with pytest.raises(RevokedError):
                await authority.renew(certificate, make_csr(key), later)
        token = await authority.make_token(later)
        with pytest.raises(RevokedError):  # KL-37
            await authority.enrol(token.text(), make_csr(key), later)
        assert authority.server_context() is not context
        crl = x509.load_der_x509_crl(await authority.crl())
        serials = {read_certificate_untrusted(each.certificate_der).serial for each in (first, second)}
        assert {f"{each.serial_number:x}" for each in crl} == serials  # KL-27: each that has not expired
        (device,) = await authority.devices()
        await authority.revoke(device.device_id, later + 9)
        assert (await authority.devices())[0].revoked_s == device.revoked_s == later
        await authority.enrol(token.text(), csr(), later)  # another key, the token is still good
        with pytest.raises(NotPairedError):
            await authority.revoke("0" * 32, later)
    async with authority_in(tmp_path, later) as again:
        with pytest.raises(RevokedError):
            await again.check_peer(first.certificate_der, later)
        number = x509.load_der_x509_crl(await again.crl()).extensions.get_extension_for_class(x509.CRLNumber).value
        assert number.crl_number > crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number  # KL-27
    async with authority_in(tmp_path, NOW + 139 * DAY_S) as again:
        assert len(x509.load_der_x509_crl(await again.crl())) == 1  # KL-27: one of the two has expired


@virtual
async def test_kl_43_what_another_process_revokes_holds_at_once(tmp_path: Path) -> None:
    key = CertificateKey.generate()
    clock = Clock()
    async with authority_in(tmp_path) as authority, trio.open_nursery() as nursery:
        der = (await enrolled(authority, key)).certificate_der
        nursery.start_soon(authority.keep_fresh, clock)
        context = authority.server_context()
        await trio.sleep(LOOK_AGAIN_S * 3)
        assert authority.server_context() is context  # nothing was revoked: nothing is made anew
        with AuthorityFolder.open_beside(tmp_path / "cloud" / "pki", NOW) as operator:
            operator.records.revoke(device_id_of(der), NOW)
        with pytest.raises(RevokedError):
            await authority.check_peer(der, NOW)
        await until(lambda: authority.server_context() is not context)
        assert len(x509.load_der_x509_crl(await authority.crl())) == 1
        nursery.cancel_scope.cancel()


@virtual
async def test_kl_44_what_tls_cannot_load_ends_no_cloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A crowd at the door can use up the descriptors in this moment."""

    def none_left(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, "too many open files")

    clock = Clock()
    async with authority_in(tmp_path) as authority, trio.open_nursery() as nursery:
        nursery.start_soon(authority.keep_fresh, clock)
        context = authority.server_context()
        for name in ("load_cert_chain", "load_verify_locations"):
            with monkeypatch.context() as patch:
                patch.setattr(ssl.SSLContext, name, none_left)
                with pytest.raises(StorageError, match=r"\.pem cannot be loaded for TLS: Too many open files"):
                    await authority.refresh(NOW + 3 * DAY_S)
                clock.now = NOW + 3 * DAY_S
                await trio.sleep(LOOK_AGAIN_S * 3)
                assert authority.server_context() is context
        await until(lambda: authority.server_context() is not context)
        nursery.cancel_scope.cancel()


@virtual
async def test_kl_44_server_certificate_and_list_are_renewed_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    async with authority_in(tmp_path) as authority, trio.open_nursery() as nursery:
        nursery.start_soon(authority.keep_fresh, clock)
        server = tmp_path / "cloud" / "pki" / "server.pem"
        first, pem, context = await authority.crl(), server.read_bytes(), authority.server_context()
        clock.now = NOW + 3 * DAY_S
        await until(lambda: authority.server_context() is not context)
        assert await authority.crl() != first
        assert server.read_bytes() == pem
        clock.now = NOW + SERVER_LIFETIME_S * 2 / 3
        await until(lambda: server.read_bytes() != pem)
        pem = server.read_bytes()
        # What fails is said once, tried again, and ends nothing.
        with monkeypatch.context() as patch:
            failed = 0

            def full(*_: object) -> object:
                nonlocal failed
                failed += 1
                raise StorageError("the disk is full")

            patch.setattr(module, "_made", full)
            clock.now += SERVER_LIFETIME_S * 2 / 3
            await until(lambda: failed > 3)
        assert [each.message for each in caplog.records] == ["certificates could not be refreshed: the disk is full"]
        await until(lambda: server.read_bytes() != pem)
        nursery.cancel_scope.cancel()


async def test_a_server_certificate_is_kept_while_it_fits(tmp_path: Path) -> None:
    path = tmp_path / "cloud" / "pki"
    server = path / "server.pem"
    async with authority_in(tmp_path):
        pem = server.read_bytes()
    async with authority_in(tmp_path):
        assert server.read_bytes() == pem
    await (await DeviceAuthority.open(path, ["LOCALHOST", "127.0.0.1"], NOW)).aclose()
    assert server.read_bytes() == pem
    await (await DeviceAuthority.open(path, ["cloud.example"], NOW)).aclose()
    assert server.read_bytes() != pem
    server.write_bytes(b"damaged")
    await (await DeviceAuthority.open(path, ["cloud.example"], NOW)).aclose()
    assert b"PRIVATE KEY" in server.read_bytes()


# --- the clock ----------------------------------------------------------------------------------


async def test_kl_53_a_clock_that_was_set_back_issues_and_accepts_nothing(tmp_path: Path) -> None:
    key = CertificateKey.generate()
    async with authority_in(tmp_path) as authority:
        der = (await enrolled(authority, key)).certificate_der
        token = await authority.make_token(NOW)
        back = NOW - 301
        for call in (
            lambda: authority.check_peer(der, back),
            lambda: authority.renew(der, make_csr(key), back),
            lambda: authority.enrol(token.text(), csr(), back),
            lambda: authority.make_token(back),
        ):
            with pytest.raises(ClockError, match=r"set the clock; .*`aerolink cloud clock --trust`"):
                await call()
        assert await authority.check_peer(der, NOW - 299) == device_id_of(der)
        await authority.revoke(device_id_of(der), back)
        with pytest.raises(RevokedError):
            await authority.check_peer(der, NOW)


async def test_kl_53_no_list_and_no_server_certificate_with_a_clock_that_was_set_back(tmp_path: Path) -> None:
    """They were issued last, not a device's certificate: the clock must not go behind them either."""
    path = tmp_path / "cloud" / "pki"
    later = NOW + SERVER_LIFETIME_S * 2 / 3
    key = CertificateKey.generate()
    async with authority_in(tmp_path) as authority:
        der = (await enrolled(authority, key)).certificate_der
        await authority.refresh(later)
        crl, context = await authority.crl(), authority.server_context()
        files = [(path / name).read_bytes() for name in ("server.pem", "trust.pem")]
        back = later - MAX_CLOCK_BACKSTEP_S - 1
        for _ in range(2):
            with pytest.raises(ClockError, match=r"set the clock; .*`aerolink cloud clock --trust`"):
                await authority.refresh(back)
        with pytest.raises(ClockError):
            await authority.check_peer(der, back)
        await authority.revoke(device_id_of(der), back)
        assert (await authority.crl(), authority.server_context()) == (crl, context)
        assert [(path / name).read_bytes() for name in ("server.pem", "trust.pem")] == files
    with pytest.raises(ClockError, match="set the clock"):
        await DeviceAuthority.open(path, HOSTS, back)
    async with authority_in(tmp_path, back + 1) as authority:  # the lock was given back
        assert len(x509.load_der_x509_crl(await authority.crl())) == 1
        with AuthorityFolder.open_beside(path, back) as operator:
            assert operator.records.last_time() == later
            operator.records.trust_clock(NOW)
        await authority.refresh(NOW)
        assert x509.load_der_x509_crl(await authority.crl()).last_update_utc.timestamp() <= NOW


@virtual
async def test_kl_53_a_revocation_with_a_wrong_clock_is_in_the_list_when_it_is_right(tmp_path: Path) -> None:
    key, clock = CertificateKey.generate(), Clock()
    async with authority_in(tmp_path) as authority, trio.open_nursery() as nursery:
        nursery.start_soon(authority.keep_fresh, clock)
        der = (await enrolled(authority, key)).certificate_der
        clock.now = NOW - DAY_S
        await authority.revoke(device_id_of(der), clock.now)
        context = authority.server_context()
        await trio.sleep(LOOK_AGAIN_S * 3)
        assert authority.server_context() is context
        with pytest.raises(ClockError):
            await authority.check_peer(der, clock.now)
        clock.now = NOW + 1
        await until(lambda: authority.server_context() is not context)
        assert len(x509.load_der_x509_crl(await authority.crl())) == 1
        nursery.cancel_scope.cancel()


async def test_kl_53_the_operator_says_that_the_later_time_was_the_mistake(tmp_path: Path) -> None:
    key = CertificateKey.generate()
    async with authority_in(tmp_path) as authority:
        der = (await enrolled(authority, key)).certificate_der
        await authority.make_token(NOW + 700 * DAY_S)
        with pytest.raises(ClockError):
            await authority.check_peer(der, NOW)
        with AuthorityFolder.open_beside(tmp_path / "cloud" / "pki", NOW) as operator:
            assert operator.records.last_time() == NOW + 700 * DAY_S
            operator.records.trust_clock(NOW)
        assert await authority.check_peer(der, NOW) == device_id_of(der)


# --- notices to drones --------------------------------------------------------------------------

DRONE, OTHER, THIEF, SECOND = (bytes([each]) * 16 for each in range(1, 5))


class Deck:
    """A drone that answers, or does not."""

    def __init__(self, *results: Result) -> None:
        self.results = list(results)
        self.told: list[bytes] = []

    async def ask(self, message: RevokePeer) -> Answer:
        await trio.lowlevel.checkpoint()
        self.told.append(message.peer)
        if not self.results:
            raise StorageError("the link ended before the answer came")
        return Answer(self.results.pop(0))


async def test_kl_12_13_a_notice_waits_until_the_drone_has_it(tmp_path: Path) -> None:
    async with authority_in(tmp_path) as authority:
        for _ in range(2):
            await authority.add_notice(DRONE, THIEF, NOW)
        await authority.add_notice(DRONE, SECOND, NOW + 1)
        await authority.add_notice(OTHER, SECOND, NOW)
    async with authority_in(tmp_path) as authority:  # years, and restarts, later
        assert await authority.waiting_notices(DRONE) == (THIEF, SECOND)
        deck = Deck(Result.FAILED)
        with pytest.raises(AerolinkError):
            await authority.deliver_notices(DRONE, deck.ask, Clock())
        assert deck.told == [THIEF, SECOND]
        assert await authority.waiting_notices(DRONE) == (THIEF, SECOND)
        deck = Deck(Result.DONE, Result.NOT_NOW)
        assert await authority.deliver_notices(DRONE, deck.ask, Clock()) == 1
    async with authority_in(tmp_path) as authority:
        deck = Deck(Result.DONE)
        assert await authority.deliver_notices(DRONE, deck.ask, Clock()) == 1
        assert deck.told == [SECOND]
        assert await authority.deliver_notices(DRONE, Deck().ask, Clock()) == 0
        await authority.add_notice(DRONE, THIEF, NOW + 9)  # delivered before: it is not asked for again
        assert await authority.waiting_notices(DRONE) == ()
        assert await authority.waiting_notices(OTHER) == (SECOND,)


def test_the_program_that_is_killed_is_python() -> None:
    compile(KILLED, "killed", "exec")
    assert subprocess.run([sys.executable, "-c", "import nodes.pki.folder"], check=True).returncode == 0


async def test_a_device_comes_in_and_back_as_a_whole(tmp_path: Path) -> None:
    clock = Clock()
    async with authority_in(tmp_path) as authority, device_in(tmp_path, clock) as device:
        der = await enrol(authority, device)
        assert await authority.check_peer(der, NOW) == device.device_id
