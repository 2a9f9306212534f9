"""testssl.sh looks at both ports of a real cloud: nothing of medium severity or worse.

At the devices' port it has a device's certificate: the ``openssl`` that it calls is a script which shows one, so it
gets through the handshake and sees HTTP too. What it does with its own sockets stops where a stranger is stopped.
"""

import json
import shutil
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Final, cast

import pytest
import trio

from nodes.config.endpoint import Endpoint
from tests.conftest import require_or_skip
from tests.live.site import Papers, Site, cloud_in, run

HARMLESS: Final = {"OK", "INFO", "LOW", "DEBUG"}
"""Severities that need no argument; every other one does, those among them that say that a check went wrong."""
EXCUSED: Final = {
    "cert_revocation": "no CRL or OCSP URI in the certificate: the only clients are devices, which know one authority "
    "and nothing else on the internet. A server certificate lives for 90 days; a new authority ends it (KL-25, 10.8).",
    "engine_problem": "about the machine that scans: its openssl has no GOST engine, which no cipher of TLS 1.3 needs.",
}
"""Findings that are argued, by their exact ids. Everything else that is not harmless fails the test."""
WANTED: Final = {
    "SSLv2": "not offered",
    "SSLv3": "not offered",
    "TLS1": "not offered",
    "TLS1_1": "not offered",
    "TLS1_2": "not offered",
    "TLS1_3": "offered with final",
    "cert_chain_of_trust": "passed.",
    "cert_signatureAlgorithm": "ECDSA with SHA256",
    "cert_extKeyUsage": "TLS Web Server Authentication",
    "sessionresumption_ticket": "not supported",
    "banner_server": "No Server banner line in header, interesting!",
}
"""What a scan must have found: one that looked at nothing finds nothing bad either."""
PROTOCOLS: Final = {name: words for name, words in WANTED.items() if name.startswith(("SSLv", "TLS1"))}
QUICK: Final = ("--protocols", "--server-defaults", "--headers", "--vulnerable")
VULNERABILITIES: Final = ("heartbleed", "CCS", "ticketbleed", "ROBOT", "secure_renego", "CRIME_TLS", "BREACH", "RC4")
PATIENCE_S: Final = 400.0


@dataclass(frozen=True)
class Finding:
    """One line of a report."""

    id: str
    severity: str
    finding: str


def read_report(file: Path) -> Sequence[Finding]:
    rows = cast("list[dict[str, str]]", json.loads(file.read_text()))
    return [Finding(row["id"], row["severity"], row["finding"]) for row in rows]


def bad(findings: Sequence[Finding]) -> Sequence[Finding]:
    """Return what is of medium severity or worse, or went wrong, and has no excuse."""
    return [each for each in findings if each.severity not in HARMLESS and each.id not in EXCUSED]


def as_device(folder: Path, who: Papers) -> Path:
    """Write an ``openssl`` whose client shows the certificate of a device."""
    real = shutil.which("openssl")
    if real is None:
        require_or_skip("openssl is not installed")
    file = folder / "openssl-of-a-device"
    shown = f"-cert {quote(str(who.file))} -key {quote(str(who.file))}"
    file.write_text(
        f'#!/bin/sh\nif [ "$1" = s_client ]; then shift; exec {real} s_client {shown} "$@"; fi\nexec {real} "$@"\n'
    )
    file.chmod(0o700)
    return file


@dataclass(frozen=True)
class Scanner:
    """testssl.sh, and the cloud that it looks at."""

    site: Site
    folder: Path

    async def scan(self, name: str, where: Endpoint, *options: str) -> Sequence[Finding]:
        report = self.folder / f"{name}.json"
        calm = ("--quiet", "--color", "0", "--warnings", "off", "--connect-timeout", "10", "--openssl-timeout", "10")
        near = ("--nodns", "none", "--ip", "127.0.0.1", "--add-ca", str(self.site.ca))
        done = await run(
            *("testssl", *calm, *near, "--jsonfile", str(report), *options, f"https://{where}"), patience_s=PATIENCE_S
        )
        assert await trio.Path(report).exists(), done.stdout.decode()[-2_000:] + done.stderr.decode()[-2_000:]
        return read_report(report)

    async def scan_both(self, devices: Sequence[str], enrolment: Sequence[str]) -> Mapping[str, Sequence[Finding]]:
        """Look at both ports at one time, each with its options; most of a scan is waiting."""
        found: dict[str, Sequence[Finding]] = {}
        openssl = ("--openssl", str(as_device(self.folder, await self.site.enrolled())))

        async def scan(name: str, where: Endpoint, *options: str) -> None:
            found[name] = await self.scan(name, where, *options)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(scan, "devices", self.site.where, *openssl, *devices)
            nursery.start_soon(scan, "enrolment", self.site.enrolment, *enrolment)
        return found


@pytest.fixture(name="scanner")
async def make_scanner(tmp_path: Path) -> AsyncGenerator[Scanner]:
    async with cloud_in(tmp_path / "cloud") as site:
        yield Scanner(site, tmp_path)


def expect_good(report: Mapping[str, Sequence[Finding]]) -> None:
    for name, findings in report.items():
        assert bad(findings) == [], name
        said = {each.id: each.finding for each in findings}
        assert {each: said.get(each) for each in WANTED} == WANTED, name
        assert "HTTP_status_code" in said  # it got through the handshake
        assert {each.severity for each in findings if each.id in VULNERABILITIES} == {"OK"}
        assert set(VULNERABILITIES) <= said.keys()


async def test_kl_60_61_62_testssl_finds_nothing(scanner: Scanner) -> None:
    """Protocols, certificate, chain, resumption, headers, vulnerabilities that have a name; of devices protocols."""
    report = await scanner.scan_both(("--protocols",), QUICK)
    expect_good({"enrolment": report["enrolment"]})
    said = {each.id: each.finding for each in report["devices"]}
    assert bad(report["devices"]) == []
    assert {each: said.get(each) for each in PROTOCOLS} == PROTOCOLS


@pytest.mark.slow
@pytest.mark.timeout(2 * PATIENCE_S)
async def test_kl_60_testssl_finds_nothing_at_all(scanner: Scanner) -> None:
    """Everything that it can look for: ciphers, forward secrecy, other clients, bugs of implementations too."""
    every = (*QUICK, "--std", "--pfs", "--server-preference", "--client-simulation", "--grease")
    report = await scanner.scan_both(every, every)
    expect_good(report)
    for findings in report.values():
        assert Finding("GREASE", "OK", "No bugs found.") in findings
        assert any(each.id == "cipherlist_STRONG" and each.severity == "OK" for each in findings)


def test_a_finding_without_an_excuse_is_seen() -> None:
    findings = [Finding("a", severity, "") for severity in ("OK", "LOW", "MEDIUM", "HIGH", "CRITICAL", "WARN", "FATAL")]
    assert [each.severity for each in bad(findings)] == ["MEDIUM", "HIGH", "CRITICAL", "WARN", "FATAL"]
    assert bad([Finding("cert_revocation", "HIGH", ""), Finding("cert_revocation2", "HIGH", "")])
