"""Whatever stands in a state folder: records or one StorageError. Whatever is done to a directory: as in memory."""

import json
import tempfile
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from nodes.stores.counterfile import NAME, CounterFile
from nodes.stores.directory import PrivateDirectory
from nodes.stores.memory import MemoryPeerDirectory
from nodes.stores.peerfiles import COUNTERS_NAME, PEERS_NAME, PeerFiles
from protocols.errors import RevokedError, StorageError
from protocols.link.peers import PeerRecord, PeerState
from tests.conftest import examples
from tests.unit.stores.records import make_record


@contextmanager
def folder() -> Generator[PrivateDirectory]:
    with tempfile.TemporaryDirectory() as path, PrivateDirectory.open(Path(path)) as directory:
        yield directory


WORDS = st.sampled_from(
    [
        *("format", "version", "content", "key_id", "public", "dh", "role", "pair_secret", "state"),
        *("counter_epoch", "name", "P256", "25519", "epoch", "next", "paired", "rc", "00" * 16, "00" * 32, ""),
    ]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=4),
)


def _body(name: str, content: object) -> bytes:
    return json.dumps({"format": f"aerolink {name[:-5]}", "version": 1, "content": content}).encode()


@pytest.mark.parametrize("name", [PEERS_NAME, COUNTERS_NAME, NAME])
@settings(max_examples=examples(30))
@given(data=st.binary() | VALUES)
def test_any_content_is_records_or_damage(name: str, data: object) -> None:
    with folder() as directory:
        directory.write(name, data if isinstance(data, bytes) else _body(name, data))
        try:
            PeerFiles(directory).all()
            CounterFile(directory).reserve("P256", 1, create=True)
        except StorageError as error:
            assert str(error).isprintable()  # noqa: PT017


STEPS = st.lists(
    st.one_of(
        st.builds(
            make_record,
            st.integers(1, 3),
            secret=st.integers(1, 3),
            state=st.sampled_from(PeerState),
            counter=st.integers(0, 20),
        ),
        st.dictionaries(st.integers(1, 4).map(lambda n: make_record(n).key_id), st.integers(0, 20)),
        st.none(),
    ),
    max_size=12,
)


def refused(action: Callable[..., object], *arguments: object) -> bool:
    """Whether a record was refused because it would lift a revocation."""
    try:
        action(*arguments)
    except RevokedError:
        return True
    return False


@settings(max_examples=examples(30))
@given(STEPS)
def test_files_and_memory_remember_the_same(steps: list[PeerRecord | dict[bytes, int] | None]) -> None:
    with folder() as directory:
        files, memory = PeerFiles(directory), MemoryPeerDirectory()
        for step in steps:
            if step is None:
                files = PeerFiles(directory)  # a restart
            elif isinstance(step, PeerRecord):
                assert refused(files.put, step) == refused(trio.run, memory.put, step)
            else:
                files.confirm_counters(step)
                trio.run(memory.confirm_counters, step)
            assert {record.key_id: record for record in files.all()} == {
                record.key_id: record for record in trio.run(memory.all)
            }


@settings(max_examples=examples(30))
@given(STEPS, st.integers(0, 30))
def test_no_crash_lowers_a_counter_of_a_pairing(
    steps: list[PeerRecord | dict[bytes, int] | None], writes_left: int
) -> None:
    """The write after which the power fails is any of them; what is found afterwards is old or new, whole."""
    with folder() as directory:
        real, left = directory.write, writes_left

        def write(name: str, content: bytes) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise StorageError("power cut")
            real(name, content)

        directory.write = write  # type: ignore[method-assign]
        files = PeerFiles(directory)
        for step in steps:
            before = files.all()
            try:
                if isinstance(step, PeerRecord):
                    files.put(step)
                elif step is not None:
                    files.confirm_counters(step)
            except RevokedError:
                assert files.all() == before
            except StorageError:
                found = PeerFiles(directory).all()
                # Counters are written first: one may be raised already, which is safe; nothing else has changed.
                assert [
                    replace(new, initiation_counter=old.initiation_counter)
                    for new, old in zip(found, before, strict=True)
                ] == list(before)
                assert all(
                    new.initiation_counter >= old.initiation_counter for new, old in zip(found, before, strict=True)
                )
                return
            highest = {(r.key_id, r.pair_secret): r.initiation_counter for r in before}
            for record in files.all():
                old = highest.get((record.key_id, record.pair_secret), 0)
                assert record.initiation_counter >= old
        assert PeerFiles(directory).all() == files.all()
