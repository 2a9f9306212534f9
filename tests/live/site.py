"""A cloud with all of its files, and what other people's programs need to talk to it: PEM files, curl, openssl."""

import os
import secrets
import shutil
import subprocess
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import trio

from nodes.cloud.node import Cloud
from nodes.config.endpoint import Endpoint
from nodes.pki.authority import DeviceAuthority
from nodes.pki.folder import AuthorityFolder
from nodes.stations.openings import PKI, open_cloud
from protocols.events import AlarmKind
from protocols.pki import (
    CertificateKey,
    Identity,
    certificate_pem,
    device_id_of_key,
    make_csr,
    read_certificate_untrusted,
)
from tests.conftest import require_or_skip
from tests.live.kit import DEADLINE_S, LOOPBACK

HOSTS: Final = ("127.0.0.1", "localhost")
DAY_S: Final = 86_400
Clock = Callable[[], float]
_QUIET: Final = {
    name: value
    for name, value in os.environ.items()
    if not name.lower().endswith("_proxy") and name not in {"SSLKEYLOGFILE", "SSL_CERT_FILE", "SSL_CERT_DIR"}
}


@dataclass(frozen=True)
class Papers:
    """Who a client says it is: key and certificate in one PEM file."""

    file: Path
    device: str
    der: bytes


def papers(folder: Path, key: CertificateKey, der: bytes) -> Papers:
    """Write them where other programs read them."""
    file = folder / f"{secrets.token_hex(8)}.pem"
    file.write_bytes(Identity(key, (read_certificate_untrusted(der),)).pem())
    return Papers(file, device_id_of_key(key.public), der)


@dataclass(frozen=True)
class Site:
    """A cloud that runs, and listens on both of its ports."""

    folder: Path
    cloud: Cloud
    where: Endpoint
    enrolment: Endpoint
    ca: Path
    """The authority's certificate, PEM."""

    @property
    def authority(self) -> DeviceAuthority:
        return self.cloud.stores.authority

    async def enrolled(self) -> Papers:
        """Let one more device in."""
        return await enrolled(self.authority, self.folder, time.time())

    def issued_at(self, at: float) -> Papers:
        """Certify a device at another time than now, in nobody's records."""
        key = CertificateKey.generate()
        with AuthorityFolder.open_beside(self.folder / "state" / PKI, time.time()) as folder:
            der = folder.authority.issue_device(key.public, at, secrets.token_bytes).der
        return papers(self.folder, key, der)

    def refusals(self) -> list[str]:
        """What the operator was told of those that were not let in."""
        return [alarm.detail for alarm in self.cloud.alarms if alarm.kind is AlarmKind.HTTPS_REFUSED]


async def enrolled(authority: DeviceAuthority, folder: Path, at: float) -> Papers:
    """Let a device in with a token, as its enrolment does."""
    key = CertificateKey.generate()
    token = await authority.make_token(at, name="a device")
    return papers(folder, key, (await authority.enrol(token.text(), make_csr(key), at)).certificate_der)


@asynccontextmanager
async def cloud_in(folder: Path, clock: Clock = time.time) -> AsyncGenerator[Site]:
    """Run a cloud whose state is in ``folder/state``; the second time it is the same cloud."""
    await trio.Path(folder).mkdir(mode=0o700, parents=True, exist_ok=True)
    async with open_cloud(folder / "state", HOSTS, clock, create=True) as kept:
        if not kept.state.key_files.exists("P256"):
            kept.state.key_files.generate("P256")
        async with Cloud(kept.stores, clock=clock) as cloud:
            ca = folder / "ca.pem"
            ca.write_bytes(certificate_pem(kept.stores.authority.ca_der))
            where = await cloud.listen(LOOPBACK)
            yield Site(folder, cloud, where, await cloud.listen_for_enrolment(LOOPBACK), ca)


# --- programs -----------------------------------------------------------------------------------


async def run(*command: str, stdin: bytes = b"", patience_s: float = DEADLINE_S) -> subprocess.CompletedProcess[bytes]:
    """Run a program to its end."""
    if shutil.which(command[0]) is None:
        require_or_skip(f"{command[0]} is not installed")
    with trio.fail_after(patience_s):
        return await trio.run_process(
            command, stdin=stdin, capture_stdout=True, capture_stderr=True, check=False, env=_QUIET
        )


@dataclass(frozen=True)
class Heard:
    """What curl brings back."""

    code: int
    """How curl ended; 0: there was an answer."""
    status: int
    version: str
    body: bytes
    said: str
    """What curl tells its user."""


async def curl(
    site: Site, path: str, *options: str, who: Papers | None = None, at: Endpoint | None = None, stdin: bytes = b""
) -> Heard:
    """Ask the cloud for something; ``at``: the enrolment port."""
    where = at or site.where
    shown = ("--cert", str(who.file)) if who else ()
    fixed = ("-q", "-sS", "--noproxy", "*", "--path-as-is", "--cacert", str(site.ca))
    tell = ("-w", "\n%{http_code} %{http_version}")
    done = await run("curl", *fixed, *shown, *tell, *options, f"https://{where}{path}", stdin=stdin)
    body, _, last = done.stdout.rpartition(b"\n")
    status, version = last.decode().split()
    return Heard(done.returncode, int(status), version, body, done.stderr.decode())


async def s_client(
    site: Site, *options: str, say: bytes, who: Papers | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Say something over OpenSSL's own client, which checks the cloud as strictly as the cloud checks it."""
    shown = ("-cert", str(who.file), "-key", str(who.file)) if who else ()
    fixed = ("-connect", str(site.where), "-CAfile", str(site.ca), "-verify_return_error", "-x509_strict")
    return await run("openssl", "s_client", *fixed, "-verify_ip", "127.0.0.1", *shown, *options, stdin=say)
