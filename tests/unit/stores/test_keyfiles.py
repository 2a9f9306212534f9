import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from nodes.stores.directory import PrivateDirectory
from nodes.stores.keyfiles import KeyFiles
from protocols.crypto.dh import DH_FUNCTIONS
from protocols.errors import ConfigError, StorageError, UnsupportedError


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[PrivateDirectory]:
    with PrivateDirectory.open(tmp_path / "state", create=True) as opened:
        yield opened


@pytest.fixture
def files(directory: PrivateDirectory) -> KeyFiles:
    return KeyFiles(directory)


@pytest.mark.parametrize("dh", DH_FUNCTIONS)
def test_a_key_is_made_once_and_found_again(files: KeyFiles, directory: PrivateDirectory, dh: str) -> None:
    assert not files.exists(dh)
    key = files.generate(dh)
    assert files.exists(dh)
    assert files.path(dh).stat().st_mode & 0o777 == 0o600
    assert KeyFiles(directory).load(dh).public == key.public
    with pytest.raises(ConfigError, match="--force"):
        files.generate(dh)
    assert files.load(dh).public == key.public
    assert files.generate(dh, force=True).public == files.load(dh).public != key.public


def test_a_missing_key_names_the_command(files: KeyFiles) -> None:
    with pytest.raises(ConfigError, match=r"`aerolink keys generate --state-dir .* --dh P256` makes a key"):
        files.load("P256")


def test_a_failed_replacement_keeps_the_old_key(files: KeyFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: int) -> None:
        raise OSError(errno.ENOSPC, "")

    key = files.generate("P256")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(StorageError):
            files.generate("P256", force=True)
    assert files.load("P256").public == key.public


def test_a_readable_key_is_refused_and_not_overwritten(files: KeyFiles) -> None:
    files.generate("P256")
    files.path("P256").chmod(0o644)
    for action in (files.load, files.generate):
        with pytest.raises(ConfigError, match="chmod 600"):
            action("P256")


def test_damage_and_mistaken_names(files: KeyFiles, directory: PrivateDirectory) -> None:
    files.generate("25519")
    pem = directory.read("identity-25519.pem")
    assert pem is not None
    directory.write("identity-P256.pem", pem)
    with pytest.raises(ConfigError, match=r"holds a 25519 key: rename it to identity-25519\.pem"):
        files.load("P256")
    directory.write("identity-P256.pem", pem[:-40])
    with pytest.raises(ConfigError, match="restore the file from a backup") as caught:
        files.load("P256")
    assert pem.split(b"\n")[1].decode() not in str(caught.value)


@pytest.mark.parametrize("dh", ["p256", "../x", ""])
def test_names_are_no_paths(files: KeyFiles, dh: str) -> None:
    for action in (files.path, files.load, files.generate, files.exists):
        with pytest.raises(UnsupportedError):
            action(dh)
