"""From the values of a TOML document to its tables as dataclasses, or to every problem in it at once."""

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast, get_type_hints

from nodes.config.kinds import BadValueError, Kind, hint, shown
from nodes.config.lines import Where


@dataclass(frozen=True, slots=True)
class Problem:
    """Something in a configuration file that cannot be used as it is."""

    line: int | None
    """Where, counted from 1; None if it concerns the whole file."""
    text: str
    """What is wrong and what to do, on one line."""

    def located(self, path: Path | str) -> str:
        """Return ``FILE:LINE: text``."""
        place = f"{path}:{self.line}" if self.line is not None else f"{path}"
        return one_line(f"{place}: {self.text}")


def one_line(text: str) -> str:
    """Return a text that can neither break the line nor steer a terminal."""
    return "".join(c if c.isprintable() else "?" for c in text)


def kinds_of(table: type) -> dict[str, Kind]:
    """Return what each key of a table may be: the annotation of each field holds its kind."""
    hints = get_type_hints(table, include_extras=True)
    return {field.name: hints[field.name].__metadata__[0] for field in dataclasses.fields(table)}


@dataclass(frozen=True, slots=True)
class ByName:
    """Tables of one class, each under a name that the file chooses: ``[nodes.rc]``."""

    cls: type
    """What each of them is."""


Shape = Mapping[str, type | ByName]
"""Name of each table at the top -> its class."""


class Reader:
    """Reads one document; ``problems`` holds what it found wrong, in the order of the file."""

    def __init__(self, values: Mapping[str, object], lines: Mapping[Where, int], base: Path, shape: Shape) -> None:
        self._values = values
        self._lines = lines
        self._base = base
        self._shape = shape
        self._problems: list[Problem] = []

    @property
    def problems(self) -> list[Problem]:
        return sorted(self._problems, key=lambda problem: problem.line or 0)

    def tables(self) -> dict[str, Any] | None:
        """Return each table by its name, tables by name as a dict; None if there is any problem."""
        for name in self._values.keys() - self._shape.keys():
            self._unknown_at_top(name)
        found = {name: self._part(name, part) for name, part in self._shape.items()}
        return None if self._problems else found

    def given(self) -> set[Where]:
        """Return the path of each key that the document has below its tables."""
        return {where for where in _paths(self._values, ()) if len(where) > 1}

    def add(self, where: Where, text: str) -> None:
        """Add a problem; if nothing stands at ``where``, it is that of the table around."""
        while len(where) > 1 and where not in self._lines:
            where = where[:-1]
        self._problems.append(Problem(self._lines.get(where), text))

    def _unknown_at_top(self, name: str) -> None:
        if isinstance(self._values[name], dict):
            self.add((name,), f"unknown table [{_key(name)}]{hint(name, self._shape)}")
            return
        homes = [_title((table,)) for table, part in self._shape.items() if name in kinds_of(_class_of(part))]
        advice = f"; it belongs below {homes[0]}" if homes else ""
        self.add((name,), f"unknown key {shown(name)} outside of any table{advice}")

    def _part(self, name: str, part: type | ByName) -> object:
        if not isinstance(part, ByName):
            return self._table((name,), part, self._values.get(name, {}))
        values = self._values.get(name, {})
        if not isinstance(values, dict):
            self.add((name,), f"[{name}] must hold tables, each with a name of its own, not {shown(values)}")
            return None
        tables = cast("dict[str, object]", values)
        return {key: self._table((name, key), part.cls, value) for key, value in tables.items()}

    def _table(self, where: tuple[str, ...], cls: type, values: object) -> object:
        """Return the table; what is wrong in it becomes a problem and the default stands in."""
        title = _title(where)
        if not isinstance(values, dict):
            self.add(where, f"{title} must be a table, not {shown(values)}")
            return None
        kinds = kinds_of(cls)
        taken: dict[str, object] = {}
        for key, value in cast("dict[str, object]", values).items():
            if key not in kinds:
                self.add((*where, key), f"unknown key {shown(key)} in {title}{hint(key, kinds)}")
            else:
                taken |= self._value(where, key, kinds[key], value)
        missing = [field for field in _required(cls) if field not in values]
        for key in missing:
            self.add(where, f'"{key}" is missing in {title}: it must be {kinds[key].text}')
        return None if self._problems else self._made(cls, taken)

    def _made(self, cls: type, taken: dict[str, object]) -> object:
        made = cls(**taken)
        relative = {
            field.name: self._base / getattr(made, field.name)
            for field in dataclasses.fields(made)
            if isinstance(getattr(made, field.name), Path)
        }
        return dataclasses.replace(made, **relative)

    def _value(self, table: tuple[str, ...], key: str, kind: Kind, value: object) -> dict[str, object]:
        try:
            return {key: kind.take(value)}
        except BadValueError as error:
            where: Where = (*table, key) if error.index is None else (*table, key, error.index)
            self.add(where, f'"{key}" in {_title(table)} {error}')
            return {}


def _class_of(part: type | ByName) -> type:
    return part.cls if isinstance(part, ByName) else part


def _title(where: tuple[str, ...]) -> str:
    return f"[{'.'.join(map(_key, where))}]"


def _paths(values: Mapping[str, object], at: Where) -> Iterator[Where]:
    for name, value in values.items():
        yield (*at, name)
        if isinstance(value, dict):
            yield from _paths(cast("dict[str, object]", value), (*at, name))


def _required(cls: type) -> Iterator[str]:
    for field in dataclasses.fields(cls):
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            yield field.name


def _key(name: str) -> str:
    return name if name.replace("-", "").replace("_", "").isalnum() else shown(name)
