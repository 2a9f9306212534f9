"""A node's state folder: its keys, its paired devices and its counters behind their ports.

::

    <state_dir>/            mode 0700, ours
        lock                held by the one process that may write
        control.sock        where others look at a running node (specs/control-socket.md), with control.lock
        identity-P256.pem   static key (PKCS#8), one file per DH function
        peers.json          paired devices, with their pair secrets
        peer-counters.json  highest initiation counter confirmed from each
        counters.json       our own initiation counters, reserved ahead
        log-*.json          keys of sealed logs: a drone's or a cloud's own, and what is pinned of the other side
        logs/               sealed logs in store and forward (drone, remote controller, mobile)
        pki/                certificates: a device's credentials, or the authority of a cloud
        outbox.sqlite       what the cloud has not acknowledged (mobile)
        cloud.sqlite        what devices have brought (cloud), with its large objects in blobs/
        log-*.json          keys of sealed logs (nodes/stores/sealingkeys.py)
"""

from pathlib import Path
from types import TracebackType
from typing import Self

from nodes.stores.counterfile import CounterFile, FileCounterStore
from nodes.stores.directory import PrivateDirectory
from nodes.stores.keyfiles import FileKeyStore, KeyFiles
from nodes.stores.peerfiles import FilePeerDirectory, PeerFiles
from nodes.stores.sealingkeys import FileCloudSealing, FileDroneSealing


class StateDir:
    """An open state folder. Opening, closing and the three ``*_files`` block; the stores do not.

    Use either the stores or the ``*_files``, which a command has for its short life, not both at a time.
    """

    def __init__(self, directory: PrivateDirectory) -> None:
        self._directory = directory
        self.key_files = KeyFiles(directory)
        self.peer_files = PeerFiles(directory)
        self.counter_file = CounterFile(directory)
        self.keys = FileKeyStore(self.key_files)
        self.peers = FilePeerDirectory(self.peer_files)
        self.counters = FileCounterStore(self.counter_file)
        self.drone_sealing = FileDroneSealing(directory)
        self.cloud_sealing = FileCloudSealing(directory)
        self.drone_sealing = FileDroneSealing(directory)
        self.cloud_sealing = FileCloudSealing(directory)

    @classmethod
    def open(cls, path: Path, *, create: bool = False, read_only: bool = False) -> Self:
        """Open a state folder; ConfigError and StorageError say in one line what to do.

        ``create`` makes a missing folder. ``read_only`` takes no lock, so it works beside a running node, and
        refuses to write.
        """
        return cls(PrivateDirectory.open(path, create=create, read_only=read_only))

    @property
    def path(self) -> Path:
        return self._directory.path

    def close(self) -> None:
        """Give the lock back; nothing can be read or written afterwards."""
        self._directory.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
