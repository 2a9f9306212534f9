"""Real TLS on loopback between devices and their cloud (specs/10-key-life-cycle.md, KL-51, KL-60 to KL-66).

OpenSSL has a clock of its own: these tests live at the time of the machine.
"""

import shutil
import ssl
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trio
from cryptography.x509.oid import ExtendedKeyUsageOID

from nodes.pki.authority import DeviceAuthority
from nodes.pki.contexts import check_time_at, client_context, first_contact_context
from nodes.pki.folder import AuthorityFolder
from protocols.errors import AerolinkError
from protocols.pki import CertificateAuthority, CertificateKey, certificate_pem, read_certificate_untrusted
from tests.conftest import require_or_skip
from tests.helpers.pki import (
    DAY_S,
    Clock,
    authority_in,
    device_in,
    enrol,
    identity_file,
    make_authority,
    odd_certificate,
)
from tests.live.kit import DEADLINE_S

HOST = "127.0.0.1"


@dataclass
class Cloud:
    """Answers each line with the id of who said it, as the server asks for each request."""

    authority: DeviceAuthority
    port: int = 0
    errors: list[str] = field(default_factory=list[str])
    one_answer: bool = False
    """Close after one answer."""

    async def serve(self, stream: trio.SocketStream, context: Callable[[], ssl.SSLContext]) -> None:
        tls = trio.SSLStream(stream, context(), server_side=True)
        try:
            await tls.do_handshake()
            while await tls.receive_some(100):
                der = tls.getpeercert(binary_form=True)
                try:
                    answer = await self.authority.check_peer(der or b"", time.time())
                except AerolinkError as error:
                    answer = type(error).__name__
                await tls.send_all(answer.encode() + b"\n")
                if self.one_answer:
                    await tls.aclose()
                    break
        except trio.BrokenResourceError as error:
            self.errors.append(str(error.__cause__))
        finally:
            await trio.aclose_forcefully(tls)


@asynccontextmanager
async def serving(
    authority: DeviceAuthority, context: Callable[[], ssl.SSLContext] | None = None
) -> AsyncGenerator[Cloud]:
    cloud = Cloud(authority)
    chosen = context or authority.server_context
    with trio.fail_after(DEADLINE_S):
        async with trio.open_nursery() as nursery:
            listeners = await trio.open_tcp_listeners(0, host=HOST)

            async def serve(stream: trio.SocketStream) -> None:
                await cloud.serve(stream, chosen)

            nursery.start_soon(trio.serve_listeners, serve, listeners)
            cloud.port = listeners[0].socket.getsockname()[1]
            yield cloud
            nursery.cancel_scope.cancel()


@asynccontextmanager
async def connected(
    cloud: Cloud, context: ssl.SSLContext, host: str = HOST
) -> AsyncGenerator["trio.SSLStream[trio.SocketStream]"]:
    tls = trio.SSLStream(await trio.open_tcp_stream(HOST, cloud.port), context, server_hostname=host)
    try:
        yield tls
    finally:
        await trio.aclose_forcefully(tls)


async def said(tls: "trio.SSLStream[trio.SocketStream]") -> str:
    """Say something and return the answer; the first read is where a client learns that it is refused."""
    await tls.send_all(b"hello")
    return bytes(await tls.receive_some(100)).decode().strip()


async def refused(cloud: Cloud, context: ssl.SSLContext, words: str) -> None:
    """The server must refuse this client, for this reason."""
    before = len(cloud.errors)
    async with connected(cloud, context) as tls:
        try:
            answer = await said(tls)
        except trio.BrokenResourceError:
            answer = ""
    assert answer == ""
    while len(cloud.errors) == before:  # noqa: ASYNC110
        await trio.sleep(0.001)
    assert words in cloud.errors[-1]


def now() -> float:
    return time.time()


def client(ca_der: bytes, file: Path) -> ssl.SSLContext:
    return client_context(file, ca_der, check_time_at(now))


async def test_kl_60_61_63_a_device_and_its_cloud(tmp_path: Path) -> None:
    async with authority_in(tmp_path, now()) as authority, device_in(tmp_path, Clock(now())) as device:
        await enrol(authority, device, now())
        async with serving(authority) as cloud, connected(cloud, device.context()) as tls:
            assert await said(tls) == device.device_id
            assert tls.version() == "TLSv1.3"
            assert tls.selected_alpn_protocol() == "http/1.1"
        async with serving(authority) as cloud, connected(cloud, device.context(), "localhost") as tls:
            assert await said(tls) == device.device_id


async def test_kl_61_clients_that_are_refused(tmp_path: Path) -> None:
    at = now()
    async with authority_in(tmp_path, at) as authority, authority_in(tmp_path / "other", at) as other:
        with AuthorityFolder.open_beside(tmp_path / "cloud" / "pki", at) as folder:
            own = folder.authority
        key = CertificateKey.generate()

        def shown(der: bytes) -> ssl.SSLContext:
            return client(authority.ca_der, identity_file(tmp_path / "client.pem", key, der))

        async with device_in(tmp_path, Clock(at)) as stranger:
            foreign = shown(odd_certificate(make_authority(at), key, begin_s=at - DAY_S, end_s=at + DAY_S))
            twin = CertificateAuthority(make_authority(at).key, own.certificate)
            await enrol(other, stranger, at)
            async with serving(authority) as cloud:
                nobody = client_of(authority.ca_der)
                await refused(cloud, nobody, "peer did not return a certificate")
                await refused(cloud, foreign, "unable to get local issuer certificate")
                forged = odd_certificate(twin, key, begin_s=at - DAY_S, end_s=at + DAY_S)
                await refused(cloud, shown(forged), "signature failure")
                expired = odd_certificate(own, key, begin_s=at - DAY_S, end_s=at - 1)
                await refused(cloud, shown(expired), "certificate has expired")
                early = odd_certificate(own, key, begin_s=at + 600, end_s=at + DAY_S)
                await refused(cloud, shown(early), "not yet valid")
                server = own.issue_server(key.public, ["localhost"], at, bytes_of).der
                await refused(cloud, shown(server), "unsuitable certificate purpose")
                old = client_of(authority.ca_der)
                old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_2
                await refused(cloud, old, "unsupported protocol")


def bytes_of(count: int) -> bytes:
    return bytes(range(1, count + 1))


def client_of(ca_der: bytes) -> ssl.SSLContext:
    """A client without a certificate, that may be told to speak an older TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=certificate_pem(ca_der).decode())
    return context


async def test_kl_43_64_a_revocation_ends_new_and_open_connections(tmp_path: Path) -> None:
    at = now()
    async with authority_in(tmp_path, at) as authority, device_in(tmp_path, Clock(at)) as device:
        await enrol(authority, device, at)
        async with serving(authority) as cloud, connected(cloud, device.context()) as open_one:
            assert await said(open_one) == device.device_id
            await authority.revoke(device.device_id, now())
            assert await said(open_one) == "RevokedError"
            await refused(cloud, device.context(), "certificate revoked")
            # Another device is none the worse for it, and neither is this one with a new key.
            await enrol(authority, device, now(), new_key=True)
            async with connected(cloud, device.context()) as tls:
                assert await said(tls) == device.device_id


async def test_kl_44_without_a_list_nobody_gets_in(tmp_path: Path) -> None:
    at = now() - 8 * DAY_S
    async with authority_in(tmp_path, at) as authority, device_in(tmp_path, Clock(at)) as device:
        await enrol(authority, device, at)
        async with serving(authority) as cloud:
            await refused(cloud, device.context(), "CRL has expired")
            await authority.refresh(now())
            async with connected(cloud, device.context()) as tls:
                assert await said(tls) == device.device_id


async def test_kl_62_no_session_is_resumed(tmp_path: Path) -> None:
    at = now()
    async with authority_in(tmp_path, at) as authority, device_in(tmp_path, Clock(at)) as device:
        await enrol(authority, device, at)
        async with serving(authority) as cloud, connected(cloud, device.context()) as tls:
            await said(tls)
            assert not tls.session.has_ticket
            assert not tls.session_reused
    assert authority.server_context().num_tickets == 0
    assert authority.enrolment_context().num_tickets == 0


async def test_kl_66_session_keys_are_written_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "keys.log"
    monkeypatch.setenv("SSLKEYLOGFILE", str(log))
    at = now()
    async with authority_in(tmp_path, at) as authority, device_in(tmp_path, Clock(at)) as device:
        await enrol(authority, device, at)
        async with serving(authority) as cloud, connected(cloud, device.context()) as tls:
            assert await said(tls) == device.device_id
    assert not log.exists()


# --- servers that a device refuses --------------------------------------------------------------


def server_of(
    path: Path, key: CertificateKey, der: bytes, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3
) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(identity_file(path, key, der))
    context.minimum_version = context.maximum_version = version
    return context


async def unwilling(cloud: Cloud, context: ssl.SSLContext, words: str, host: str = "localhost") -> None:
    """The client must refuse this server in the handshake, for this reason."""
    async with connected(cloud, context, host) as tls:
        with pytest.raises(trio.BrokenResourceError) as caught:
            await tls.do_handshake()
    assert words in str(caught.value.__cause__)


async def test_kl_63_servers_that_are_refused(tmp_path: Path) -> None:
    at = now()
    async with authority_in(tmp_path, at) as authority, device_in(tmp_path, Clock(at)) as device:
        with AuthorityFolder.open_beside(tmp_path / "cloud" / "pki", at) as folder:
            own = folder.authority
        await enrol(authority, device, at)
        key, path = CertificateKey.generate(), tmp_path / "server.pem"
        use = ExtendedKeyUsageOID.SERVER_AUTH

        def issued(*hosts: str) -> bytes:
            return own.issue_server(key.public, hosts, at, bytes_of).der

        foreign = make_authority(at).issue_server(key.public, ["localhost"], at, bytes_of).der
        expired = odd_certificate(own, key, use=use, begin_s=at - DAY_S, end_s=at - 1)
        early = odd_certificate(own, key, use=use, begin_s=at + 600, end_s=at + DAY_S)
        device_only = odd_certificate(own, key, begin_s=at - DAY_S, end_s=at + DAY_S)
        for der, words in (
            (issued("cloud.example"), "Hostname mismatch"),
            (issued("127.0.0.1"), "Hostname mismatch"),
            (foreign, "unable to get local issuer certificate"),
            (expired, "certificate has expired"),
            (early, "not yet valid"),
            (device_only, "unsuitable certificate purpose"),
        ):
            context = server_of(path, key, der)
            async with serving(authority, lambda context=context: context) as cloud:  # type: ignore[misc]
                await unwilling(cloud, device.context(), words)
        context = server_of(path, key, issued("localhost"))
        async with serving(authority, lambda: context) as cloud:
            await unwilling(cloud, device.context(), "IP address mismatch", "127.0.0.1")
            async with connected(cloud, device.context(), "localhost") as tls:
                await tls.do_handshake()
        old = server_of(path, key, issued("localhost"), ssl.TLSVersion.TLSv1_2)
        async with serving(authority, lambda: old) as cloud:
            await unwilling(cloud, device.context(), "EOF")
            assert "unsupported protocol" in cloud.errors[-1]


async def test_kl_51_a_clock_that_was_set_back_brings_no_expired_server_back(tmp_path: Path) -> None:
    """The system's clock, which OpenSSL asks, says that the certificate is good; the device knows better."""
    at = now()
    async with authority_in(tmp_path, at) as authority:
        with AuthorityFolder.open_beside(tmp_path / "cloud" / "pki", at) as folder:
            key = CertificateKey.generate()
            der = folder.authority.issue_device(key.public, at, bytes_of).der
            file = identity_file(tmp_path / "client.pem", key, der)
        later = client_context(file, authority.ca_der, check_time_at(lambda: at + 91 * DAY_S))
        async with serving(authority) as cloud:
            await unwilling(cloud, later, "the certificate has expired at")
            assert cloud.errors == [] or "EOF" in cloud.errors[0]  # it was told nothing


# --- enrolment ----------------------------------------------------------------------------------


async def test_kl_34_65_first_contact_then_a_connection_that_is_proven(tmp_path: Path) -> None:
    at = now()
    async with (
        authority_in(tmp_path, at) as authority,
        authority_in(tmp_path / "other", at) as other,
        device_in(tmp_path, Clock(at)) as device,
    ):
        token = await authority.make_token(at)
        async with serving(authority, authority.enrolment_context) as cloud:
            async with connected(cloud, first_contact_context(), "anything.example") as tls:
                assert await said(tls) == "CertificateRefusedError"  # no certificate, and none is asked for
            context = device.enrolling_context(token, authority.ca_der)
            async with connected(cloud, context) as tls:
                await tls.do_handshake()
                der = tls.getpeercert(binary_form=True)
                assert read_certificate_untrusted(der or b"").not_after_s > at
                assert tls.version() == "TLSv1.3"
            await unwilling(cloud, context, "Hostname mismatch", "cloud.example")
            await unwilling(cloud, client_old(authority.ca_der), "EOF")
            assert "unsupported protocol" in cloud.errors[-1]
        async with serving(other, other.enrolment_context) as impostor:
            await unwilling(impostor, device.enrolling_context(token, authority.ca_der), "unable to get local issuer")


def client_old(ca_der: bytes) -> ssl.SSLContext:
    context = client_of(ca_der)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    return context


# --- another implementation ---------------------------------------------------------------------


async def s_client(cloud: Cloud, ca: Path, *options: str) -> tuple[int, str]:
    """Say one line with OpenSSL's own client; return its exit code and what it printed."""
    if shutil.which("openssl") is None:
        require_or_skip("no openssl here")
    command = ["openssl", "s_client", "-connect", f"{HOST}:{cloud.port}", "-servername", "localhost", "-quiet"]
    command += ["-CAfile", str(ca), "-verify_return_error", "-verify_hostname", "localhost", "-x509_strict", *options]
    done = await trio.run_process(command, stdin=b"hello\n", capture_stdout=True, capture_stderr=True, check=False)
    return done.returncode, (done.stdout + done.stderr).decode(errors="replace")


async def test_kl_60_61_openssl_as_a_client(tmp_path: Path) -> None:
    at = now()
    async with authority_in(tmp_path, at) as authority, device_in(tmp_path, Clock(at)) as device:
        with AuthorityFolder.open_beside(tmp_path / "cloud" / "pki", at) as folder:
            own = folder.authority
        await enrol(authority, device, at)
        ca, key = tmp_path / "ca.pem", CertificateKey.generate()
        ca.write_bytes(certificate_pem(authority.ca_der))

        def shown(path: Path) -> tuple[str, ...]:
            return ("-cert", str(path), "-key", str(path))

        def made(name: str, der: bytes) -> tuple[str, ...]:
            return shown(identity_file(tmp_path / name, key, der))

        right = shown(tmp_path / "device" / "pki" / "device.pem")
        foreign = made("foreign.pem", odd_certificate(make_authority(at), key, begin_s=at - DAY_S, end_s=at + DAY_S))
        expired = made("expired.pem", odd_certificate(own, key, begin_s=at - DAY_S, end_s=at - 1))
        async with serving(authority) as cloud:
            cloud.one_answer = True
            code, out = await s_client(cloud, ca, *right)
            assert device.device_id in out
            assert code == 0
            for options, words in (
                ((), "peer did not return a certificate"),
                (foreign, "unable to get local issuer certificate"),
                (expired, "certificate has expired"),
                ((*right, "-tls1_2"), "unsupported protocol"),
            ):
                before = len(cloud.errors)
                code, out = await s_client(cloud, ca, *options)
                assert code != 0
                assert device.device_id not in out
                assert len(cloud.errors) == before + 1
                assert words in cloud.errors[-1]
            await authority.revoke(device.device_id, now())
            code, out = await s_client(cloud, ca, *right)
            assert code != 0
            assert "certificate revoked" in cloud.errors[-1]
