import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nodes.cli_keys import Output, dh_of, export, forget, generate, list_peers, revoke, show
from nodes.stores.peerfiles import COUNTERS_NAME
from nodes.stores.statedir import StateDir
from protocols.crypto.fingerprint import fingerprint_text, key_id_of
from protocols.crypto.keyfile import parse_public_key_pem
from protocols.errors import UnsupportedError
from protocols.link.peers import PeerRecord, PeerState
from tests.unit.stores.records import make_record


class Said:
    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def json(self) -> Any:
        assert self.out.count("\n") == 1
        assert self.err == ""
        return json.loads(self.out)


def run(command: Callable[..., int], *args: Any, as_json: bool = False, **options: Any) -> Said:
    output = Output(io.StringIO(), io.StringIO(), as_json)
    code = command(*args, output, **options)
    assert isinstance(output.out, io.StringIO)
    assert isinstance(output.err, io.StringIO)
    return Said(code, output.out.getvalue(), output.err.getvalue())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state"


def _put(folder: Path, *records: PeerRecord) -> None:
    with StateDir.open(folder, create=True) as state:
        for record in records:
            state.peer_files.put(record)


def test_names_of_functions_and_suites() -> None:
    assert dh_of("p256") == "P256"
    assert dh_of("448") == "448"
    assert dh_of("25519+MLKEM768_ChaChaPoly_BLAKE2s") == "25519"
    with pytest.raises(UnsupportedError, match=r"'rot13'; there are .*P256"):
        dh_of("rot13")


@pytest.mark.parametrize("as_json", [False, True])
def test_a_key_is_made_shown_and_exported_and_stays_private(folder: Path, as_json: bool) -> None:
    made = run(generate, folder, "P256", as_json=as_json)
    assert made.code == 0
    with StateDir.open(folder) as state:  # a running node: show and export work beside it
        key = state.key_files.load("P256")
        key_id = key_id_of("P256", key.public)
        fingerprint = fingerprint_text(key_id)
        shown = run(show, folder, None, as_json=as_json)
        exported = run(export, folder, "P256", as_json=as_json)
    assert shown.code == exported.code == 0
    pem = exported.out
    if as_json:
        assert made.json == {
            "file": str(folder / "identity-P256.pem"),
            "dh": "P256",
            "fingerprint": fingerprint,
            "key_id": key_id.hex(),
        }
        assert shown.json == {"keys": [{"dh": "P256", "fingerprint": fingerprint, "key_id": key_id.hex()}]}
        pem = exported.json["public_key_pem"]
    else:
        assert fingerprint in made.out
        assert f"{fingerprint}  {key_id.hex()}\n" in shown.out
    assert parse_public_key_pem(pem.encode()) == ("P256", key.public)
    private = (folder / "identity-P256.pem").read_text().split("\n")[1:3]
    for said in (made, shown, exported):
        assert not any(line in said.out + said.err for line in private)
        assert key.private_bytes().hex() not in said.out + said.err


def test_a_key_is_replaced_only_by_force(folder: Path) -> None:
    run(generate, folder, "25519")
    before = (folder / "identity-25519.pem").read_bytes()
    refused = run(generate, folder, "25519")
    assert (refused.code, refused.out) == (1, "")
    assert refused.err.startswith("error: ")
    assert refused.err.count("\n") == 1
    assert (folder / "identity-25519.pem").read_bytes() == before
    assert run(generate, folder, "25519", force=True).code == 0
    assert (folder / "identity-25519.pem").read_bytes() != before


def test_show_has_every_key_or_the_one_asked_for(folder: Path) -> None:
    run(generate, folder, "25519")
    run(generate, folder, "P256")
    assert [key["dh"] for key in run(show, folder, None, as_json=True).json["keys"]] == ["25519", "P256"]
    assert [key["dh"] for key in run(show, folder, "p256", as_json=True).json["keys"]] == ["P256"]
    assert "aerolink keys generate" in run(show, folder, "448").err


def test_no_key_and_no_folder(folder: Path) -> None:
    assert "aerolink keys generate" in run(show, folder, None).err
    assert not folder.exists()
    _put(folder)
    assert "there is no key" in run(show, folder, None).err
    assert "aerolink keys generate" in run(export, folder, "P256").err
    assert run(list_peers, folder).out == "no paired devices\n"
    assert run(list_peers, folder, as_json=True).json == {"peers": []}


def test_an_error_for_a_program(folder: Path) -> None:
    said = run(revoke, folder, "aaaa", as_json=True)
    assert said.code == 1
    assert list(said.json) == ["error"]


def test_devices_are_listed_as_text_and_without_secrets(folder: Path) -> None:
    one = make_record(1, secret=0xAB, name="[red]Peter[/red]")
    two = make_record(2, secret=0xAB, state=PeerState.PENDING)
    _put(folder, one, two)
    with StateDir.open(folder):
        said = run(list_peers, folder)
        peers = run(list_peers, folder, as_json=True).json["peers"]
    assert "[red]Peter[/red]" in said.out
    assert "pending" in said.out
    for record in (one, two):
        assert fingerprint_text(record.key_id) in said.out
        assert record.pair_secret.hex() not in said.out
    assert [peer["state"] for peer in peers] == ["pending", "paired"]
    assert set(peers[0]) == {"name", "role", "state", "dh", "fingerprint", "key_id", "counter_lost"}


def test_a_long_name_breaks_no_line(folder: Path) -> None:
    _put(folder, make_record(1, name="x" * 64))
    assert fingerprint_text(make_record(1).key_id) in run(list_peers, folder).out.splitlines()[1]
    assert "x" * 64 in run(list_peers, folder).out


def test_a_lost_counter_shows(folder: Path) -> None:
    _put(folder, make_record(1), make_record(2, state=PeerState.REVOKED))
    (folder / COUNTERS_NAME).unlink()
    said = run(list_peers, folder).out
    assert "pair again" in said
    assert "revoked" in said
    assert all(peer["counter_lost"] for peer in run(list_peers, folder, as_json=True).json["peers"])


def test_revoking_by_a_prefix_and_again(folder: Path) -> None:
    one, two = make_record(1, counter=5, name="Eve"), make_record(2)
    _put(folder, one, two)
    fingerprint = fingerprint_text(one.key_id)
    for _ in range(2):
        said = run(revoke, folder, fingerprint[:9].upper())
        assert said.out == f"{fingerprint} (Eve) is revoked\n"
    with StateDir.open(folder) as state:
        assert state.peer_files.find(one.key_id) == replace(one, state=PeerState.REVOKED)
        assert state.peer_files.find(two.key_id) == two
        assert "in use by another process" in run(revoke, folder, fingerprint).err
    assert run(revoke, folder, fingerprint_text(two.key_id), as_json=True).json["state"] == "revoked"


def test_forgetting_lifts_a_revocation(folder: Path) -> None:
    _put(folder, one := make_record(1, name="Eve"))
    fingerprint = fingerprint_text(one.key_id)
    run(revoke, folder, fingerprint)
    assert run(forget, folder, fingerprint[:9]).out == f"{fingerprint} (Eve) is forgotten\n"
    assert "no known device" in run(forget, folder, fingerprint).err
    _put(folder, one)
    assert run(forget, folder, fingerprint, as_json=True).json["state"] == "forgotten"


def test_revoking_nobody(folder: Path) -> None:
    _put(folder, make_record(1))
    for typed, what in (("7777777", "no known device"), ("a", "at least"), ("!", "only the letters")):
        said = run(revoke, folder, typed)
        assert said.code == 1
        assert what in said.err
