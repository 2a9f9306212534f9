"""The check of tests/unit/test_secrets.py is able to fail: whatever form a leak has, it is found."""

import base64
import hashlib
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

import pytest

from protocols.crypto.dh import P256Key
from protocols.errors import RevokedError
from protocols.pairing import LinkingCode
from tests.tools.leaks import Secrets, walk
from tests.tools.watch import Watch, watching

T = TypeVar("T")


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Iterator[Watch]:
    yield from watching(monkeypatch)


@dataclass(slots=True)
class Careless:
    """A class that forgot ``repr=False``."""

    key: bytes


Careless.__module__ = "protocols.careless"


class Outer(Generic[T]):
    """Private slots."""

    __slots__ = ("__hidden",)

    def __init__(self, hidden: T) -> None:
        self.__hidden = hidden

    def show(self) -> T:
        return self.__hidden


SHOW: dict[str, Callable[[bytes], str]] = {
    "hex": lambda key: key.hex(),
    "hex with colons": lambda key: key.hex(":"),
    "hex in upper case": lambda key: key.hex().upper(),
    "start of the hex": lambda key: f"{key[:8].hex()}...",
    "end of the hex": lambda key: f"...{key[-8:].hex()}",
    "repr": repr,
    "repr of a bytearray": lambda key: repr(bytearray(key)),
    "inside a text": lambda key: f"key {key!r} of 32",
    "list": lambda key: str(list(key)),
    "number": lambda key: str(int.from_bytes(key, "big")),
    "latin-1": lambda key: key.decode("latin-1"),
    "base64": lambda key: base64.b64encode(key).decode(),
    "base64 of more": lambda key: base64.b64encode(b"head" + key).decode(),
    "base64 of more, url-safe": lambda key: base64.urlsafe_b64encode(b"ahead" + key).decode(),
}


def key_of(number: int) -> bytes:
    return hashlib.sha256(bytes((number,))).digest()


@pytest.mark.parametrize("show", SHOW.values(), ids=SHOW)
def test_every_form_is_found(show: Callable[[bytes], str]) -> None:
    secrets = Secrets()
    for number in range(50):
        secrets.add(f"key {number}", key := key_of(number))
        assert secrets.seen_in([f"before {show(key)} after"]) == {f"key {number}"}
    assert secrets.seen_in(["before", "after", show(key_of(50))]) == set()


def test_a_leak_of_an_object_is_found(watch: Watch) -> None:
    """However deep it is."""
    key = P256Key.generate().private_bytes()
    watch.look({"deep": [lambda: None, {"inside": key}]})
    assert watch.leaks() == set()  # a secret is not a leak; an object that shows it is
    careless = Careless(key)
    watch.look({"deep": [{"inside": lambda: careless}]})
    assert watch.leaks() == {"private P256 key"}


def test_a_leak_of_a_record_is_found(watch: Watch) -> None:
    key = P256Key.generate().private_bytes()
    log = logging.getLogger("nodes.somewhere")
    log.debug("a key of %d bytes", len(key))
    assert watch.leaks() == set()
    log.debug("nothing", extra={"more": key})
    assert watch.leaks() == {"private P256 key"}


def test_a_leak_of_an_error_is_found(watch: Watch) -> None:
    """In its arguments, its attributes, its notes, and in what caused it."""
    key = P256Key.generate().private_bytes()
    errors = [RevokedError("text"), RevokedError("text"), RevokedError("text"), RevokedError("text", key)]
    assert watch.errors == errors
    watch.errors.pop()
    assert watch.leaks() == set()
    errors[0].add_note(f"the key is {key.hex()}")
    errors[1].__cause__ = ValueError(key)
    errors[2].key = key  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    for error in errors:
        watch.errors[:] = [error]
        assert watch.leaks() == {"private P256 key"}


def test_a_linking_code_is_found(watch: Watch) -> None:
    code = LinkingCode(bytes(range(16)))
    for text in (code.text(), code.text().lower(), code.text().replace("-", ""), code.text()[:14], code.secret.hex()):
        watch.texts = {f"enter {text}"}
        assert watch.leaks() == {"linking code"}


def test_the_walk_finds_what_is_hidden() -> None:
    """Attributes, slots, containers, closures, arguments, bound methods."""
    hidden = Careless(b"x")
    outer = Outer(hidden)
    roots: list[Any] = [[hidden], {"a": hidden}, (hidden,), lambda: hidden, partial(print, hidden), outer, outer.show]
    for root in roots:
        assert any(thing is hidden for thing in walk([root]))
