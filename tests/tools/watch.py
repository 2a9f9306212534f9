"""Watches a test: every key, error and log record that is made, and what every object of ours shows of itself."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from protocols.crypto.dh import P256Key, X25519Key
from protocols.crypto.hashes import Hash
from protocols.crypto.kem import MlKem768Key
from protocols.errors import AerolinkError
from protocols.link.handshake import AnyJob, HandshakeJob
from protocols.pairing import LinkingCode
from tests.tools.leaks import PACKAGES, Recorder, Secrets, texts_of, texts_of_error, walk
from tests.tools.make_vectors.base import is_a


@dataclass
class Watch:
    """What is secret, and what was shown."""

    secrets: Secrets = field(default_factory=Secrets)
    texts: set[str] = field(default_factory=set[str])
    errors: list[AerolinkError] = field(default_factory=list[AerolinkError])
    classes: set[str] = field(default_factory=set[str])
    """Names of the classes whose objects were printed."""
    log: Recorder = field(default_factory=Recorder)

    def look(self, *roots: Any) -> None:
        """Print everything that is reachable."""
        things = walk(roots)
        self.classes |= {type(thing).__name__ for thing in things}
        self.texts |= texts_of(things)

    def leaks(self) -> set[str]:
        """Return the names of what was shown somewhere."""
        shown = set(self.texts) | self.log.texts
        for error in self.errors:
            shown |= texts_of_error(error)
        return self.secrets.seen_in(shown)


def recorded(secrets: Secrets, name: str, original: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that remembers what another one returns."""

    def call(*args: Any, **kwargs: Any) -> Any:
        result = original(*args, **kwargs)
        for number, secret in enumerate(result if is_a(result, tuple) else (result,)):
            secrets.add(f"{name} {number}", secret)
        return result

    return call


def remembering(original: Callable[..., None], remember: Callable[[Any], None]) -> Callable[..., None]:
    """Return an ``__init__`` that remembers the object."""

    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        remember(self)

    return init


def watching(monkeypatch: pytest.MonkeyPatch) -> Iterator[Watch]:
    """Remember every key and error that is made, and every log record, while the generator waits."""
    found = Watch()
    secrets = found.secrets
    for kind in (P256Key, X25519Key):
        init = remembering(kind.__init__, lambda key: secrets.add(f"private {key.dh} key", key.private_bytes()))
        monkeypatch.setattr(kind, "__init__", init)
        monkeypatch.setattr(kind, "exchange", recorded(secrets, "agreement", kind.exchange))
    init = remembering(MlKem768Key.__init__, lambda key: secrets.add("KEM seed", key.seed_bytes()))
    monkeypatch.setattr(MlKem768Key, "__init__", init)
    monkeypatch.setattr(MlKem768Key, "decapsulate", recorded(secrets, "KEM secret", MlKem768Key.decapsulate))
    monkeypatch.setattr(Hash, "mix", recorded(secrets, "chaining or session key", Hash.mix))
    monkeypatch.setattr(Hash, "hkdf", recorded(secrets, "derived key", Hash.hkdf))
    monkeypatch.setattr(AerolinkError, "__init__", remembering(AerolinkError.__init__, found.errors.append))

    run: Callable[[AnyJob], None] = AnyJob.run

    def run_and_look(job: AnyJob) -> None:
        found.look(job)
        run(job)
        found.look(job)

    monkeypatch.setattr(HandshakeJob, "run", run_and_look)

    def remember_code(code: LinkingCode) -> None:
        secrets.add("linking code", code.secret)
        secrets.add_text("linking code", code.text())

    monkeypatch.setattr(LinkingCode, "__init__", remembering(LinkingCode.__init__, remember_code))
    loggers = [logging.getLogger(name) for name in PACKAGES]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.DEBUG)
        logger.addHandler(found.log)
    yield found
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)
        logger.removeHandler(found.log)
