"""From the values of a TOML document to :class:`Config`, or to every problem in it at once."""

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast, get_type_hints

from nodes.config.kinds import BadValueError, Kind, hint, shown
from nodes.config.lines import Where
from nodes.config.rules import contradictions
from nodes.config.tables import TABLES, Config


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


class Reader:
    """Reads one document; ``problems`` holds what it found wrong, in the order of the file."""

    def __init__(self, values: Mapping[str, object], lines: Mapping[Where, int], base: Path) -> None:
        self._values = values
        self._lines = lines
        self._base = base
        self._problems: list[Problem] = []

    @property
    def problems(self) -> list[Problem]:
        return sorted(self._problems, key=lambda problem: problem.line or 0)

    def config(self, *, look: bool) -> Config | None:
        """Return the configuration, or None if there is any problem; ``look`` for the files that it names."""
        for name in self._values.keys() - TABLES.keys():
            self._unknown_at_top(name)
        tables = {name: self._table(name, cls) for name, cls in TABLES.items()}
        if self._problems:
            return None
        config = Config(**cast("dict[str, Any]", tables))
        for where, text in contradictions(config, self._given()):
            self._add(where, text)
        replay = config.flight.replay
        if look and replay is not None and not replay.is_file():
            self._add(("flight", "replay"), f'"replay" in [flight]: there is no file {replay}')
        return None if self._problems else config

    def _given(self) -> set[Where]:
        tables = cast("Mapping[str, Mapping[str, object]]", self._values)
        return {(name, key) for name, table in tables.items() for key in table}

    def _add(self, where: Where, text: str) -> None:
        self._problems.append(Problem(self._lines.get(where), text))

    def _unknown_at_top(self, name: str) -> None:
        if isinstance(self._values[name], dict):
            self._add((name,), f"unknown table [{_key(name)}]{hint(name, TABLES)}")
            return
        homes = [f"[{table}]" for table, cls in TABLES.items() if name in kinds_of(cls)]
        advice = f"; it belongs below {homes[0]}" if homes else ""
        self._add((name,), f"unknown key {shown(name)} outside of any table{advice}")

    def _table(self, name: str, cls: type) -> object:
        """Return the table; what is wrong in it becomes a problem and the default stands in."""
        values = self._values.get(name, {})
        if not isinstance(values, dict):
            self._add((name,), f"[{name}] must be a table, not {shown(values)}")
            return None
        kinds = kinds_of(cls)
        taken: dict[str, object] = {}
        for key, value in cast("dict[str, object]", values).items():
            if key not in kinds:
                self._add((name, key), f"unknown key {shown(key)} in [{name}]{hint(key, kinds)}")
            else:
                taken |= self._value(name, key, kinds[key], value)
        missing = [field for field in _required(cls) if field not in values]
        for key in missing:
            self._add((name,), f'"{key}" is missing in [{name}]: it must be {kinds[key].text}')
        return None if self._problems else self._made(cls, taken)

    def _made(self, cls: type, taken: dict[str, object]) -> object:
        made = cls(**taken)
        relative = {
            field.name: self._base / getattr(made, field.name)
            for field in dataclasses.fields(made)
            if isinstance(getattr(made, field.name), Path)
        }
        return dataclasses.replace(made, **relative)

    def _value(self, table: str, key: str, kind: Kind, value: object) -> dict[str, object]:
        try:
            return {key: kind.take(value)}
        except BadValueError as error:
            where: Where = (table, key) if error.index is None else (table, key, error.index)
            self._add(where, f'"{key}" in [{table}] {error}')
            return {}


def _required(cls: type) -> Iterator[str]:
    for field in dataclasses.fields(cls):
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            yield field.name


def _key(name: str) -> str:
    return name if name.replace("-", "").replace("_", "").isalnum() else shown(name)
