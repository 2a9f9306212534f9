"""A device's credentials: what it stores, when it renews, and what it makes of wrong clocks (KL-33 to KL-52)."""

import json
import ssl
import stat
from pathlib import Path

import pytest

from nodes.pki.contexts import check_time_at, first_contact_context
from nodes.pki.credentials import CLOCK_NAME, IDENTITY_NAME, KEY_NAME, DeviceCredentials
from protocols.enrolment import EnrolmentToken
from protocols.errors import ConfigError, StorageError
from protocols.pki import (
    CertificateAuthority,
    CertificateKey,
    CertificateRefusedError,
    CertificateTimeError,
    ClockError,
    EnrolmentNeededError,
    parse_csr_untrusted,
    read_certificate_untrusted,
)
from specs.certificates import BACKDATE_S, DEVICE_LIFETIME_S
from tests.helpers.pki import DAY_S, NOW, Clock, device_in, entropy, make_authority, odd_certificate

AUTHORITY = make_authority(NOW - 365 * DAY_S)
CA = AUTHORITY.certificate.der


def token_for(authority: CertificateAuthority = AUTHORITY) -> EnrolmentToken:
    return EnrolmentToken.generate(entropy().randbytes, authority.certificate.der)


def issued(csr: bytes, now: float = NOW, authority: CertificateAuthority = AUTHORITY) -> bytes:
    return authority.issue_device(parse_csr_untrusted(csr), now, entropy(int(now)).randbytes).der


async def enrol(device: DeviceCredentials, now: float = NOW, *, new_key: bool = False) -> bytes:
    der = issued(await device.request(new_key=new_key), now)
    await device.accept(der, CA, token_for())
    return der


# --- enrolment ----------------------------------------------------------------------------------


async def test_kl_1_2_what_an_enrolment_gives_is_kept_private_and_found_again(tmp_path: Path) -> None:
    clock = Clock()
    async with device_in(tmp_path, clock) as device:
        assert (device.is_enrolled, device.renewal_due()) == (False, False)
        for call in (lambda: device.device_id, device.context):
            with pytest.raises(EnrolmentNeededError, match=r"not enrolled: `aerolink cloud token`"):
                call()
        with pytest.raises(EnrolmentNeededError):
            await device.request_renewal()
        der = await enrol(device)
        assert device.is_enrolled
        assert device.device_id == read_certificate_untrusted(der).device_id
        assert device.certificate.der == der
        folder = tmp_path / "device" / "pki"
        assert {each.name for each in folder.iterdir()} == {KEY_NAME, IDENTITY_NAME, CLOCK_NAME, "lock"}
        assert {stat.S_IMODE(each.stat().st_mode) & 0o077 for each in (folder, folder.parent, *folder.iterdir())} == {0}
        with pytest.raises(ConfigError, match="in use by another process"):
            await DeviceCredentials.open(folder)
    async with device_in(tmp_path, clock) as again:
        assert again.certificate.der == der
        context = again.context()
    assert (context.minimum_version, context.maximum_version) == (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_3)
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert len(context.get_ca_certs()) == 1


async def test_kl_32_asking_again_is_for_the_same_key(tmp_path: Path) -> None:
    async with device_in(tmp_path, Clock()) as device:
        first = parse_csr_untrusted(await device.request())
    async with device_in(tmp_path, Clock()) as device:
        assert parse_csr_untrusted(await device.request()) == first
        second = parse_csr_untrusted(await device.request(new_key=True))
        assert second != first
        assert parse_csr_untrusted(await device.request()) == second


async def test_kl_35_nothing_is_stored_before_all_of_it_holds(tmp_path: Path) -> None:
    other = make_authority(seed=2)
    key = CertificateKey.generate()
    async with device_in(tmp_path, Clock()) as device:
        csr = await device.request()
        good, token = issued(csr), token_for()
        twin = CertificateAuthority(other.key, AUTHORITY.certificate)
        own = CertificateKey.from_pem((tmp_path / "device" / "pki" / KEY_NAME).read_bytes())
        for der, ca, words in (
            (issued(csr, authority=other), other.certificate.der, "not the cloud that the token is for"),
            (good, b"", "not the cloud"),
            (good + b"\0", CA, "no certificate"),
            (issued(csr, authority=twin), CA, "not issued by this authority"),
            (AUTHORITY.issue_device(key.public, NOW, entropy().randbytes).der, CA, "another key"),
            (AUTHORITY.issue_server(own.public, ["localhost"], NOW, entropy().randbytes).der, CA, "another use"),
            (odd_certificate(AUTHORITY, own, end_s=NOW - 1), CA, "has expired"),
        ):
            with pytest.raises(CertificateRefusedError, match=words):
                await device.accept(der, ca, token)
        leaf = EnrolmentToken.generate(entropy().randbytes, good)
        with pytest.raises(CertificateRefusedError, match="not signed by itself"):
            await device.accept(good, good, leaf)
        assert not device.is_enrolled
        assert not (tmp_path / "device" / "pki" / IDENTITY_NAME).exists()
        await device.accept(good, CA, token)


async def test_kl_34_the_token_is_said_to_its_own_authority_only(tmp_path: Path) -> None:
    async with device_in(tmp_path, Clock()) as device:
        with pytest.raises(CertificateRefusedError, match="not the cloud that the token is for"):
            device.enrolling_context(token_for(), make_authority(seed=2).certificate.der)
        context = device.enrolling_context(token_for(), CA)
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED
    (trusted,) = context.get_ca_certs(binary_form=True)
    assert trusted == CA
    anybody = first_contact_context()
    assert anybody.verify_mode is ssl.CERT_NONE
    assert anybody.get_ca_certs() == []


@pytest.mark.parametrize("name", [KEY_NAME, IDENTITY_NAME])
async def test_kl_3_a_damaged_file_is_named_and_not_repeated(tmp_path: Path, name: str) -> None:
    async with device_in(tmp_path, Clock()) as device:
        await enrol(device)
    path = tmp_path / "device" / "pki" / name
    pem = path.read_bytes()
    path.write_bytes(pem.replace(b"A", b"B", 20))
    with pytest.raises(ConfigError, match=f"{name}: .*; restore it from a backup") as caught:
        async with device_in(tmp_path, Clock()) as device:
            await device.request()
    assert pem.splitlines()[1].decode() not in str(caught.value)


async def test_a_damaged_clock_is_named(tmp_path: Path) -> None:
    async with device_in(tmp_path, Clock()) as device:
        await enrol(device)
    path = tmp_path / "device" / "pki" / CLOCK_NAME
    path.write_text(path.read_text().replace("1800000000", '"soon"'))
    with pytest.raises(StorageError, match=r"clock.json is damaged: remove it; the time is learned anew"):
        async with device_in(tmp_path, Clock()):
            pass
    path.unlink()
    async with device_in(tmp_path, Clock()) as device:
        assert device.now() == NOW


# --- renewal ------------------------------------------------------------------------------------


async def test_kl_40_41_renewal_from_two_thirds_on_for_the_same_key(tmp_path: Path) -> None:
    clock = Clock()
    async with device_in(tmp_path, clock) as device:
        await enrol(device)
        before = device.context()
        clock.now = NOW + 60 * DAY_S - 1
        assert not device.renewal_due()
        clock.now += 1
        assert device.renewal_due()
        csr = await device.request_renewal()
        assert parse_csr_untrusted(csr) == device.certificate.public
        renewed, own = issued(csr, clock.now), device.device_id
        await device.renewed(renewed)
        assert not device.renewal_due()
        assert (device.certificate.der, device.device_id) == (renewed, own)
        assert device.context() is not before
    async with device_in(tmp_path, clock) as device:
        assert device.certificate.der == renewed


async def test_kl_35_41_a_renewal_that_does_not_hold_changes_nothing(tmp_path: Path) -> None:
    clock = Clock(NOW + 60 * DAY_S)
    async with device_in(tmp_path, clock) as device:
        first = await enrol(device)
        csr = await device.request_renewal()
        other = make_authority(seed=2)
        stranger = CertificateKey.generate().public
        for der, words in (
            (b"", "no certificate"),
            (issued(csr, clock.now, other), "not issued by this authority"),
            (AUTHORITY.issue_device(stranger, clock.now, entropy().randbytes).der, "another key"),
            (issued(csr, NOW - DAY_S), "ends before"),
            (issued(csr, clock.now + DAY_S), "valid only from"),
        ):
            with pytest.raises(CertificateRefusedError, match=words):
                await device.renewed(der)
        assert device.certificate.der == first
        await device.renewed(first)  # an answer that came twice


async def test_kl_42_an_expired_certificate_says_so_and_the_device_enrols_again(tmp_path: Path) -> None:
    clock = Clock()
    async with device_in(tmp_path, clock) as device:
        await enrol(device)
        own = device.device_id
        clock.now = NOW + DEVICE_LIFETIME_S - 1
        device.context()
        clock.now += 1
        with pytest.raises(EnrolmentNeededError, match=r"has expired at .*: enrol it again with a new token") as caught:
            device.context()
        assert "\n" not in str(caught.value)
        await enrol(device, clock.now)
        device.context()
        assert device.device_id == own
        await enrol(device, clock.now, new_key=True)
        assert device.device_id != own


# --- clocks -------------------------------------------------------------------------------------


async def test_kl_50_a_clock_before_the_own_certificate_is_plainly_wrong(tmp_path: Path) -> None:
    clock = Clock()
    async with device_in(tmp_path, clock) as device:
        await enrol(device)
        clock.now = NOW - BACKDATE_S
        device.context()
        clock.now -= 1
        with pytest.raises(ClockError, match=r"2027-01-15 06:59 UTC.*2027-01-15 08:00 UTC: set the clock"):
            device.context()
        clock.now = 0
        with pytest.raises(ClockError, match="1970-01-01 00:00 UTC") as caught:
            device.context()
        assert "\n" not in str(caught.value)
        with pytest.raises(ClockError):
            await enrol(device)


async def test_kl_51_certificates_are_judged_at_the_latest_time_that_is_known(tmp_path: Path) -> None:
    clock = Clock()
    async with device_in(tmp_path, clock) as device:
        await enrol(device)
        clock.now = NOW - 60  # slow, and not plainly wrong
        assert device.now() == NOW
        await device.learn_time(NOW + 70 * DAY_S)
        assert device.now() == NOW + 70 * DAY_S
        assert device.renewal_due()
        key = CertificateKey.generate()
        server = AUTHORITY.issue_server(key.public, ["localhost"], NOW - 30 * DAY_S, entropy().randbytes)
        check_time_at(lambda: clock.now)(server.der)
        with pytest.raises(CertificateTimeError, match="has expired"):
            check_time_at(device.now)(server.der)
        clock.now = NOW + 80 * DAY_S
        assert device.now() == clock.now


async def test_kl_52_what_was_learned_survives_and_ends_with_a_new_enrolment(tmp_path: Path) -> None:
    clock = Clock()
    path = tmp_path / "device" / "pki" / CLOCK_NAME

    def written() -> int:
        return int(json.loads(path.read_text())["content"]["learned_s"])

    async with device_in(tmp_path, clock) as device:
        await enrol(device)
        await device.learn_time(NOW + 3_599)
        assert (device.now(), written()) == (NOW + 3_599, NOW)
        await device.learn_time(NOW + 50 * DAY_S)
        await device.learn_time(NOW + 1)  # older news
        assert written() == NOW + 50 * DAY_S
    async with device_in(tmp_path, clock) as device:
        assert device.now() == NOW + 50 * DAY_S
        await enrol(device)
        assert device.now() == NOW
        assert written() == NOW


@pytest.mark.parametrize("told", [0.0, NOW - 1, NOW + DEVICE_LIFETIME_S, 4e9, float("inf"), float("nan")])
async def test_kl_52_a_time_that_cannot_be_is_not_learned(tmp_path: Path, told: float) -> None:
    """Or a cloud whose clock is wrong could make a device refuse everything for ever."""
    async with device_in(tmp_path, Clock()) as device:
        await enrol(device)
        await device.learn_time(told)
        assert device.now() == NOW
        device.context()


async def test_kl_52_nothing_is_learned_without_a_certificate(tmp_path: Path) -> None:
    async with device_in(tmp_path, Clock()) as device:
        with pytest.raises(EnrolmentNeededError):
            await device.learn_time(NOW)
