"""Finds secrets in what can be seen: texts of objects, errors and log records.

:class:`Secrets` remembers byte strings in every form that a careless line could print them in. :func:`walk` goes
through everything that is reachable: attributes, slots, containers, closures and arguments of partials.
"""

import base64
import logging
import traceback
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from types import FunctionType, MethodType
from typing import Any, Final

from tests.tools.make_vectors.base import is_a

PACKAGES: Final = ("specs", "protocols", "nodes")
_PART: Final = 8
"""A leak of so many bytes is a leak."""
_LEAVES: Final = (bytes, bytearray, memoryview, str, int, float, type(None), type)


def forms(secret: bytes) -> set[str]:
    """Return what a text that shows ``secret``, or its first or last bytes, contains."""
    found: set[str] = set()
    for part in (secret[:_PART], secret[-_PART:]):
        found |= {part.hex(), part.hex().upper(), part.hex(":"), part.hex(" "), part.decode("latin-1")}
        found |= {repr(part)[2:-1], ", ".join(map(str, part)), str(int.from_bytes(part, "big"))}
    found.add(str(int.from_bytes(secret, "big")))
    for before in range(3):  # base64 inside of something longer: three alignments
        for alphabet in (base64.b64encode, base64.urlsafe_b64encode):
            encoded = alphabet(bytes(before) + secret).decode()
            found.add(encoded[4 * bool(before) :][:12])
    return found


class Secrets:
    """Everything that must not be seen."""

    def __init__(self) -> None:
        self._forms: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self._forms)

    def add(self, name: str, secret: bytes) -> None:
        """Remember a secret of at least 8 bytes."""
        assert len(secret) >= _PART, name
        if len(set(secret)) > 2:  # zeros and the like are everywhere, and no secrets
            self._forms.update(dict.fromkeys(forms(secret), name))

    def add_text(self, name: str, text: str) -> None:
        """Remember a typed code: a third of it is a leak."""
        letters = text.replace("-", "")
        parts = {text[:14], text[-14:], letters[:12], letters[-12:]}
        self._forms.update({form: name for part in parts for form in (part, part.lower())})

    def seen_in(self, texts: Iterable[str]) -> set[str]:
        """Return the names of secrets that some text shows."""
        everything = "\n".join(set(texts))
        return {name for form, name in self._forms.items() if form in everything}


def _inside(thing: Any) -> Iterator[Any]:
    """Yield what is directly reachable from an object."""
    if is_a(thing, Mapping):
        yield from thing.keys()
        yield from thing.values()
    elif is_a(thing, partial):
        yield thing.func
        yield thing.args
        yield thing.keywords
    elif is_a(thing, FunctionType):
        yield from (cell.cell_contents for cell in thing.__closure__ or () if _is_set(cell))
    elif is_a(thing, MethodType):
        yield thing.__self__
    elif is_a(thing, Iterable) and type(thing).__module__ in {"builtins", "collections"}:
        yield from list(thing)
    attributes: Any = getattr(thing, "__dict__", {})
    yield from attributes.values()
    for kind in type(thing).__mro__:
        slots: Any = kind.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            mangled = f"_{kind.__name__.lstrip('_')}{name}" if name.startswith("__") else name
            yield getattr(thing, mangled, None)


def _is_set(cell: Any) -> bool:
    try:
        return cell.cell_contents is not cell
    except ValueError:
        return False


def walk(roots: Iterable[Any]) -> list[Any]:
    """Return every object that is reachable, leaves excepted."""
    found: dict[int, Any] = {}
    waiting = list(roots)
    while waiting:
        thing = waiting.pop()
        if isinstance(thing, _LEAVES) or id(thing) in found or type(thing).__name__ in {"module", "generator"}:
            continue
        found[id(thing)] = thing
        waiting += _inside(thing)
    return list(found.values())


def is_ours(thing: Any) -> bool:
    """Whether an object's class is the product's."""
    return type(thing).__module__.split(".")[0] in PACKAGES


def texts_of(things: Iterable[Any]) -> set[str]:
    """Return repr, str and format of every object of ours."""
    ours = [thing for thing in things if is_ours(thing)]
    return {text for thing in ours for text in (repr(thing), str(thing), f"{thing}", f"{thing!a}")}


def texts_of_error(error: BaseException) -> set[str]:
    """Return everything that an error shows: text, arguments, notes, and what a traceback prints."""
    shown = {str(error), repr(error), *map(repr, error.args), *map(str, error.args)}
    shown |= set(getattr(error, "__notes__", ()))
    shown |= {repr(value) for value in vars(error).values()}
    return shown | {"".join(traceback.format_exception(error))}


class Recorder(logging.Handler):
    """Keeps what every record shows, its arguments and extras too."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.records: list[logging.LogRecord] = []
        self.texts: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)
        self.texts |= {record.getMessage(), *(repr(value) for value in vars(record).values())}
        self.texts.add(logging.Formatter("%(message)s").format(record))
