"""Static keys as files: ``identity-P256.pem`` and its like in the state folder, PKCS#8, mode 0600."""

import shlex
from functools import partial
from pathlib import Path

from nodes.stores.directory import PrivateDirectory
from nodes.stores.serial import Serial
from protocols.crypto.dh import DH_FUNCTIONS, SoftwareKey, StaticKey
from protocols.crypto.keyfile import parse_private_key_pem, private_key_pem
from protocols.crypto.keys import SystemKeySource
from protocols.errors import ConfigError, KeyFormatError, UnsupportedError


class KeyFiles:
    """The key files of a state folder, for callers that may block."""

    def __init__(self, directory: PrivateDirectory) -> None:
        self._directory = directory

    def path(self, dh: str) -> Path:
        """Return where the key for a DH function stands."""
        return self._directory.path / _name(dh)

    def exists(self, dh: str) -> bool:
        """Return whether there is a key file; ConfigError if there is one that must not be used."""
        return self._directory.read(_name(dh)) is not None

    def load(self, dh: str) -> SoftwareKey:
        """Return the key for a DH function; ConfigError says what to do if there is none."""
        path = self.path(dh)
        pem = self._directory.read(path.name)
        if pem is None:
            folder = shlex.quote(str(self._directory.path))
            command = f"aerolink keys generate --state-dir {folder} --dh {dh}"
            raise ConfigError(f"{path} is missing: `{command}` makes a key")
        try:
            key = parse_private_key_pem(pem)
        except KeyFormatError as error:
            raise ConfigError(f"{path}: {error}; restore the file from a backup") from None
        if key.dh != dh:
            raise ConfigError(f"{path} holds a {key.dh} key: rename it to {_name(key.dh)}")
        return key

    def generate(self, dh: str, *, force: bool = False) -> SoftwareKey:
        """Make and store a new key; ConfigError if there is one already, unless ``force`` replaces it."""
        if not force and self.exists(dh):
            raise ConfigError(f"{self.path(dh)} exists; replacing it ends every pairing made with it (--force)")
        key = SystemKeySource().dh_key(dh)
        self._directory.write(_name(dh), private_key_pem(key))
        return key


class FileKeyStore:
    """Port KeyStore on the key files of a state folder; a key that was read once stays in memory."""

    def __init__(self, files: KeyFiles) -> None:
        self._files = files
        self._serial = Serial()
        self._keys: dict[str, SoftwareKey] = {}

    async def static_key(self, dh: str) -> StaticKey:
        """Return the static key for a DH function; ConfigError when there is none or it must not be used."""
        if dh not in self._keys:
            key = await self._serial.run(partial(self._files.load, dh))
            self._keys.setdefault(dh, key)  # another task may have been first
        return self._keys[dh]


def _name(dh: str) -> str:
    if dh not in DH_FUNCTIONS:
        raise UnsupportedError(f"there are no {dh!r} keys, only {', '.join(DH_FUNCTIONS)}")
    return f"identity-{dh}.pem"
