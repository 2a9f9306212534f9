"""``aerolink cloud``: tokens, devices, revocation, notices, clock; beside a cloud that runs (10-key-life-cycle.md)."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
import trio

from nodes.cli import main
from nodes.logs import take_down
from nodes.pki.authority import DeviceAuthority
from protocols.crypto.fingerprint import fingerprint_text
from protocols.enrolment import EnrolmentToken
from protocols.errors import RevokedError
from protocols.pki import CertificateKey, device_id_of, make_csr
from tests.helpers.pki import HOSTS

DRONE, PEER = fingerprint_text(bytes(16)), fingerprint_text(bytes(range(16)))


@pytest.fixture(autouse=True)
def _quiet() -> Any:
    yield
    take_down()


class Desk:
    """An operator in front of one cloud's folder."""

    def __init__(self, capsys: pytest.CaptureFixture[str], folder: Path) -> None:
        self._capsys = capsys
        self.folder = folder

    def run(self, *arguments: str) -> tuple[int, str, str]:
        code = main(["cloud", *arguments, "--state-dir", str(self.folder)])
        out, err = self._capsys.readouterr()
        return code, out, err

    def ask(self, *arguments: str) -> Any:
        code, out, err = self.run(*arguments, "--json")
        assert (code, err) == (0, "")
        return json.loads(out)

    def mistake(self, *arguments: str) -> tuple[int, str]:
        code, out, err = self.run(*arguments)
        assert out == ""
        assert err.startswith("aerolink: ")
        assert err.count("\n") == 1
        return code, err


@pytest.fixture
def desk(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Desk:
    return Desk(capsys, tmp_path / "state")


def test_there_is_no_authority_before_somebody_wants_one(desk: Desk) -> None:
    for arguments in (("devices",), ("revoke", "abcd"), ("notices",), ("clock",), ("notify", DRONE, PEER)):
        code, line = desk.mistake(*arguments)
        assert code == 3
        assert "there is no authority in" in line
        assert "`aerolink cloud token --state-dir" in line
    assert not desk.folder.exists()


def test_kl_30_a_token_is_printed_once_and_is_for_this_authority(desk: Desk) -> None:
    told = desk.ask("token", "--name", "mobile", "--hours", "2")
    assert EnrolmentToken.parse(told["token"]).text() == told["token"]
    assert abs(told["expires_s"] - time.time() - 7_200) < 60
    code, out, err = desk.run("token")
    assert (code, err) == (0, "")
    other = EnrolmentToken.parse(out.removeprefix("Enrolment token: ").partition(";")[0])
    assert other.fingerprint == EnrolmentToken.parse(told["token"]).fingerprint
    assert other.secret != EnrolmentToken.parse(told["token"]).secret
    assert desk.run("devices")[1] == "no enrolled devices\n"
    assert desk.ask("devices") == {"devices": []}
    for wrong in (("--hours", "0"), ("--hours", "721"), ("--name", "x" * 65)):
        assert desk.mistake("token", *wrong)[0] == 2


def test_kl_43_a_revocation_reaches_the_cloud_that_runs(desk: Desk) -> None:
    async def run() -> None:
        now = time.time()
        authority = await DeviceAuthority.open(desk.folder / "pki", HOSTS, now)
        try:
            token = desk.ask("token", "--name", "[red]mobile[/red]")["token"]
            enrolled = await authority.enrol(token, make_csr(CertificateKey.generate()), time.time())
            device = await authority.check_peer(enrolled.certificate_der, now)
            assert device in desk.run("devices")[1]
            assert "[red]mobile[/red]" in desk.run("devices")[1]
            (listed,) = desk.ask("devices")["devices"]
            assert (listed["device"], listed["state"], listed["revoked_s"]) == (device, "enrolled", None)
            code, out, _ = desk.run("revoke", device[:6].upper())
            assert (code, out) == (0, f"{device} ([red]mobile[/red]) is revoked\n")
            with pytest.raises(RevokedError):
                await authority.check_peer(enrolled.certificate_der, now)
            assert desk.ask("revoke", device)["state"] == "revoked"
            assert "revoked" in desk.run("devices")[1]
        finally:
            await authority.aclose()

    trio.run(run)


def test_an_id_that_names_none_or_several(desk: Desk) -> None:
    async def run() -> list[str]:
        found: list[str] = []
        now = time.time()
        authority = await DeviceAuthority.open(desk.folder / "pki", HOSTS, now)
        for _ in range(2):
            token = await authority.make_token(now)
            enrolled = await authority.enrol(token.text(), make_csr(CertificateKey.generate()), now)
            found.append(device_id_of(enrolled.certificate_der))
        await authority.aclose()
        return found

    devices = trio.run(run)
    for typed, words in (("abc", "at least"), ("xyzxyz", "no device has this id"), ("", "at least")):
        code, line = desk.mistake("revoke", typed)
        assert code == 2
        assert words in line
    assert {each["state"] for each in desk.ask("devices")["devices"]} == {"enrolled"}
    assert desk.ask("revoke", devices[0])["device"] == devices[0]


def test_kl_12_notices_wait_and_are_shown(desk: Desk) -> None:
    desk.ask("token")
    assert desk.run("notices")[1] == "no notices\n"
    assert desk.run("notify", DRONE, PEER.upper())[1] == f"{DRONE} will be told that {PEER} is revoked\n"
    told = desk.ask("notify", DRONE, PEER)
    assert (told["drone"], told["peer"], told["state"], told["delivered_s"]) == (DRONE, PEER, "waits", None)
    assert desk.ask("notices") == {"notices": [told]}
    assert all(each in desk.run("notices")[1] for each in (DRONE, PEER, "waits"))
    assert desk.mistake("notify", DRONE, "abcd")[0] == 2


def test_kl_53_the_clock_is_shown_and_trusted(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.ask("token")
    shown = desk.ask("clock")
    assert shown["last_issued_s"] == pytest.approx(time.time(), abs=60)
    real = time.time()
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: real + 10_000)
        desk.ask("token")
    code, line = desk.mistake("token")
    assert code == 3
    assert "`aerolink cloud clock --trust`" in line

    assert desk.run("clock", "--trust")[0] == 0
    desk.ask("token")
