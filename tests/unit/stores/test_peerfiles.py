import errno
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nodes.stores.directory import PrivateDirectory
from nodes.stores.peerfiles import COUNTERS_NAME, PEERS_NAME, PeerFiles
from nodes.stores.rules import LOST_COUNTER
from protocols.errors import CounterLostError, StorageError, UsageError
from protocols.link.peers import PeerState
from tests.unit.stores.records import make_record


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def directory(folder: Path) -> Iterator[PrivateDirectory]:
    with PrivateDirectory.open(folder, create=True) as opened:
        yield opened


@pytest.fixture
def files(directory: PrivateDirectory) -> PeerFiles:
    return PeerFiles(directory)


def _json(path: Path) -> Any:
    return json.loads(path.read_text())


def _fail_write_of(name: str, patch: pytest.MonkeyPatch) -> None:
    real = os.replace

    def failing(source: str, target: str, **folders: int) -> None:
        if target == name:
            raise OSError(errno.ENOSPC, "")
        real(source, target, **folders)

    patch.setattr(os, "replace", failing)


def test_what_is_put_is_found_by_this_and_the_next_process(files: PeerFiles, directory: PrivateDirectory) -> None:
    first = make_record(1, counter=7, epoch=bytes(16), name="Grüße \U0001f681")
    second = make_record(2, state=PeerState.PENDING)
    files.put(first)
    files.put(second)
    for reader in (files, PeerFiles(directory)):
        assert reader.find(first.key_id) == first
        assert reader.find(second.key_id) == second
        assert reader.find(bytes(16)) is None
        assert set(reader.all()) == {first, second}


def test_an_empty_folder_has_no_peers(files: PeerFiles) -> None:
    assert files.all() == ()


def test_confirming_is_one_write_and_never_lowers(files: PeerFiles, directory: PrivateDirectory, folder: Path) -> None:
    one, two = make_record(1, counter=5), make_record(2, counter=5)
    files.put(one)
    files.put(two)
    peers = (folder / PEERS_NAME).stat()
    files.confirm_counters({one.key_id: 9, two.key_id: 4, bytes(16): 3})
    assert (folder / PEERS_NAME).stat() == peers
    again = PeerFiles(directory)
    assert [record.initiation_counter for record in again.all()] == [9, 5]
    before = (folder / COUNTERS_NAME).stat()
    files.confirm_counters({one.key_id: 9})
    assert (folder / COUNTERS_NAME).stat() == before


@pytest.mark.parametrize("counter", [-1, 2**64])
def test_a_counter_that_does_not_fit_changes_nothing(files: PeerFiles, counter: int) -> None:
    one = make_record(1, counter=5)
    files.put(one)
    with pytest.raises(UsageError):
        files.confirm_counters({one.key_id: 6, bytes(16): counter})
    with pytest.raises(UsageError):
        files.put(replace(one, initiation_counter=counter))
    assert files.all() == (one,)


def test_revoking_keeps_a_counter_that_was_confirmed_in_between(files: PeerFiles, directory: PrivateDirectory) -> None:
    stale = make_record(1, counter=5)
    files.put(stale)
    files.confirm_counters({stale.key_id: 9})
    files.put(replace(stale, state=PeerState.REVOKED))
    found = PeerFiles(directory).find(stale.key_id)
    assert found == replace(stale, state=PeerState.REVOKED, initiation_counter=9)


def test_a_new_pairing_brings_its_own_counter_and_forgets_the_old(
    files: PeerFiles, directory: PrivateDirectory, folder: Path
) -> None:
    files.put(make_record(1, secret=1, counter=50))
    files.put(make_record(1, secret=2, counter=1))
    found = PeerFiles(directory).find(make_record(1).key_id)
    assert found is not None
    assert found.initiation_counter == 1
    files.confirm_counters({found.key_id: 2})
    assert list(_json(folder / COUNTERS_NAME)["content"].values()) == [2]


@pytest.mark.parametrize("name", [PEERS_NAME, COUNTERS_NAME])
def test_a_crash_inside_a_new_pairing_keeps_the_old_one(
    files: PeerFiles, directory: PrivateDirectory, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    old = make_record(1, secret=1, counter=50)
    files.put(old)
    with monkeypatch.context() as patch:
        _fail_write_of(name, patch)
        with pytest.raises(StorageError, match="free some space"):
            files.put(make_record(1, secret=2, counter=0))
    assert files.find(old.key_id) == old
    assert PeerFiles(directory).find(old.key_id) == old
    files.put(new := make_record(1, secret=2, counter=0))
    assert PeerFiles(directory).find(old.key_id) == new


def test_a_failed_confirmation_is_not_remembered(files: PeerFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    old = make_record(1, counter=5)
    files.put(old)
    with monkeypatch.context() as patch:
        _fail_write_of(COUNTERS_NAME, patch)
        with pytest.raises(StorageError):
            files.confirm_counters({old.key_id: 6})
    assert files.find(old.key_id) == old


def test_a_lost_counter_file_asks_for_pairing_again_and_pairing_heals_it(
    files: PeerFiles, directory: PrivateDirectory, folder: Path
) -> None:
    one, two = make_record(1, counter=5), make_record(2, counter=5)
    files.put(one)
    files.put(two)
    (folder / COUNTERS_NAME).unlink()
    after = PeerFiles(directory)
    with pytest.raises(CounterLostError, match="pair the devices again"):
        after.find(one.key_id)
    assert [record.initiation_counter for record in after.all()] == [LOST_COUNTER] * 2
    after.confirm_counters({one.key_id: 6})
    with pytest.raises(CounterLostError):
        after.find(one.key_id)
    after.put(replace(one, name="renamed"))  # the same pairing: still lost
    with pytest.raises(CounterLostError):
        after.find(one.key_id)
    after.put(again := make_record(1, secret=2, counter=1))
    assert PeerFiles(directory).find(one.key_id) == again
    with pytest.raises(CounterLostError):
        PeerFiles(directory).find(two.key_id)


def test_a_revoked_peer_stays_revoked_without_its_counter(
    files: PeerFiles, directory: PrivateDirectory, folder: Path
) -> None:
    record = make_record(1, counter=5)
    files.put(record)
    (folder / COUNTERS_NAME).unlink()
    after = PeerFiles(directory)
    after.put(replace(after.all()[0], state=PeerState.REVOKED))
    found = PeerFiles(directory).find(record.key_id)
    assert found is not None
    assert found.state is PeerState.REVOKED


def test_an_older_peers_file_does_not_meet_newer_counters(
    files: PeerFiles, directory: PrivateDirectory, folder: Path
) -> None:
    files.put(make_record(1, secret=1, counter=50))
    backup = (folder / PEERS_NAME).read_bytes()
    files.put(make_record(1, secret=2, counter=1))
    files.confirm_counters({make_record(1).key_id: 2})
    directory.write(PEERS_NAME, backup)
    with pytest.raises(CounterLostError):
        PeerFiles(directory).find(make_record(1).key_id)


def test_a_reader_sees_what_the_writer_did(files: PeerFiles, folder: Path) -> None:
    with PrivateDirectory.open(folder, read_only=True) as beside:
        reader = PeerFiles(beside)
        assert reader.all() == ()
        files.put(record := make_record(1))
        assert reader.all() == (record,)
        with pytest.raises(UsageError):
            reader.put(record)


def test_a_record_that_could_not_be_read_back_is_not_written(files: PeerFiles) -> None:
    good = make_record(1)
    bad = [
        replace(good, key_id=bytes(16)),
        replace(good, dh="448"),
        replace(good, pair_secret=bytes(31)),
        replace(good, counter_epoch=bytes(15)),
        replace(good, name="a\nb"),
        replace(good, name="x" * 65),
    ]
    for record in bad:
        with pytest.raises(UsageError):
            files.put(record)
    assert files.all() == ()


def _damaged(content: dict[str, Any]) -> Iterator[bytes]:
    text = json.dumps(content)
    (pairing,) = content["content"]
    fields: dict[str, Any] = content["content"][pairing]
    yield from (
        b"",
        b"\xff",
        b"[]",
        b"nul",
        text[:-1].encode(),
        b'{"a":1,"a":1}',
        b'{"a":NaN}',
        b"[" * 100_000,
    )
    yield from (b'{"version": 1}', b'{"version": true}', text.replace("aerolink peers", "x").encode())
    yield json.dumps(content | {"more": 1}).encode()
    yield json.dumps(content | {"content": []}).encode()
    yield json.dumps(content | {"content": {"a": 3}}).encode()
    yield json.dumps(content | {"content": {"a": fields, "b": fields}}).encode()
    changes: list[dict[str, Any]] = [
        {"key_id": "00" * 16},
        {"key_id": 3},
        {"role": "king"},
        {"role": []},
        {"state": "odd"},
        {"state": []},
        {"pair_secret": "AB" * 32},
        {"pair_secret": "ab" * 31},
        {"pair_secret": " " + "ab" * 32},
        {"public": ""},
        {"name": None},
        {"dh": "X"},
        {"dh": "X" * 300},
        {"dh": "Ü"},
        {"unknown": 1},
    ]
    for change in changes:
        yield json.dumps(content | {"content": {pairing: fields | change}}).encode()
    for name in fields:
        yield json.dumps(content | {"content": {pairing: {k: v for k, v in fields.items() if k != name}}}).encode()


def test_damage_is_one_line_without_secrets_and_nothing_is_lost(
    files: PeerFiles, directory: PrivateDirectory, folder: Path
) -> None:
    files.put(make_record(1, secret=0xAB))
    content = _json(folder / PEERS_NAME)
    for damaged in _damaged(content):
        directory.write(PEERS_NAME, damaged)
        with pytest.raises(StorageError, match="is damaged: restore it") as caught:
            PeerFiles(directory).all()
        assert "\n" not in str(caught.value)
        assert "abab" not in str(caught.value).lower()
        assert caught.value.__suppress_context__
        with pytest.raises(StorageError, match="is damaged"):
            PeerFiles(directory).put(make_record(2))
        assert (folder / PEERS_NAME).read_bytes() == damaged


@pytest.mark.parametrize("counter", [-1, 2**64, 1.0, "1", True, None])
def test_damaged_counters(files: PeerFiles, directory: PrivateDirectory, folder: Path, counter: object) -> None:
    files.put(make_record(1))
    content = _json(folder / COUNTERS_NAME)
    directory.write(COUNTERS_NAME, json.dumps(content | {"content": {"a": counter}}).encode())
    with pytest.raises(StorageError, match="remove it and pair the devices again"):
        PeerFiles(directory).all()


def test_another_version_is_named(files: PeerFiles, directory: PrivateDirectory, folder: Path) -> None:
    files.put(make_record(1))
    content = _json(folder / PEERS_NAME)
    directory.write(PEERS_NAME, json.dumps(content | {"version": 2}).encode())
    with pytest.raises(StorageError, match="has format version 2; this Aerolink reads 1"):
        PeerFiles(directory).all()
