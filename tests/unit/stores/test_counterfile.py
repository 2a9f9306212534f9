import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from nodes.stores.counterfile import NAME, CounterFile
from nodes.stores.directory import PrivateDirectory
from protocols.errors import CounterLostError, KeyExhaustedError, StorageError, UnsupportedError, UsageError
from protocols.link.peers import CounterBlock


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def directory(folder: Path) -> Iterator[PrivateDirectory]:
    with PrivateDirectory.open(folder, create=True) as opened:
        yield opened


@pytest.fixture
def file(directory: PrivateDirectory) -> CounterFile:
    epochs = iter(bytes([number]) * 16 for number in range(1, 9))
    return CounterFile(directory, lambda: next(epochs))


def test_only_pairing_begins(file: CounterFile, folder: Path) -> None:
    with pytest.raises(CounterLostError, match=r"counters\.json has no counter for the P256 key: pair"):
        file.reserve("P256", 64)
    assert not (folder / NAME).exists()
    assert file.reserve("P256", 64, create=True) == CounterBlock(1, 64, bytes([1]) * 16)
    assert file.reserve("P256", 64, create=True) == CounterBlock(65, 64, bytes([1]) * 16)


def test_it_goes_on_in_the_next_process_and_per_key(file: CounterFile, directory: PrivateDirectory) -> None:
    file.reserve("P256", 10, create=True)
    with pytest.raises(CounterLostError):
        file.reserve("25519", 1)
    assert file.reserve("25519", 5, create=True).epoch == bytes([2]) * 16
    after = CounterFile(directory)
    assert after.reserve("P256", 1) == CounterBlock(11, 1, bytes([1]) * 16)
    assert after.reserve("25519", 1) == CounterBlock(6, 1, bytes([2]) * 16)


def test_a_lost_file_begins_another_epoch(file: CounterFile, folder: Path) -> None:
    first = file.reserve("P256", 10, create=True)
    (folder / NAME).unlink()
    with pytest.raises(CounterLostError):
        file.reserve("P256", 1)
    assert file.reserve("P256", 1, create=True).epoch != first.epoch


@pytest.mark.parametrize("step", ["write", "fsync", "replace"])
def test_a_failed_write_gives_no_counter_and_skips_none(
    file: CounterFile, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "")

    file.reserve("P256", 10, create=True)
    with monkeypatch.context() as patch:
        patch.setattr(os, step, fail)
        with pytest.raises(StorageError, match="free some space"):
            file.reserve("P256", 10)
    assert file.reserve("P256", 10).first == 11


def test_a_write_of_unsure_durability_gives_no_counter_and_repeats_none(
    file: CounterFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.reserve("P256", 10, create=True)
    calls = iter([None, OSError(errno.EIO, "")])

    def fsync(_: int) -> None:
        if error := next(calls):
            raise error

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)  # the file's succeeds, the folder's fails
        with pytest.raises(StorageError):
            file.reserve("P256", 10)
    assert file.reserve("P256", 10).first == 21


def test_the_last_counter_is_used_and_none_after_it(file: CounterFile, directory: PrivateDirectory) -> None:
    life = {"epoch": "00" * 16, "next": 2**64 - 2}
    directory.write(NAME, json.dumps({"format": "aerolink counters", "version": 1, "content": {"P256": life}}).encode())
    with pytest.raises(KeyExhaustedError):
        file.reserve("P256", 3)
    assert file.reserve("P256", 2).first == 2**64 - 2
    with pytest.raises(KeyExhaustedError):
        file.reserve("P256", 1)
    with pytest.raises(KeyExhaustedError):
        file.reserve("P256", 1, create=True)


def test_usage(file: CounterFile) -> None:
    with pytest.raises(UsageError):
        file.reserve("P256", 0, create=True)
    with pytest.raises(UnsupportedError):
        file.reserve("P257", 1, create=True)


@pytest.mark.parametrize(
    "content",
    [
        {"P257": {"epoch": "00" * 16, "next": 1}},
        {"P256": {"epoch": "00" * 15, "next": 1}},
        {"P256": {"epoch": "00" * 16, "next": 0}},
        {"P256": {"epoch": "00" * 16, "next": 2**64 + 1}},
        {"P256": {"epoch": "00" * 16}},
        {"P256": {"epoch": "00" * 16, "next": 1, "more": 1}},
        {"P256": {"epoch": "00" * 16, "next": 1.5}},
        {"P256": []},
    ],
)
def test_damage_never_begins_anew(file: CounterFile, directory: PrivateDirectory, content: object) -> None:
    body = {"format": "aerolink counters", "version": 1, "content": content}
    directory.write(NAME, json.dumps(body).encode())
    with pytest.raises(StorageError, match="is damaged: remove it and pair the devices again"):
        file.reserve("P256", 1, create=True)
