"""ADR 1: a foreign package of the same name is noticed."""

from pathlib import Path

import pytest

from nodes import packages
from protocols.errors import ConfigError

ROOT = Path(__file__).resolve().parents[3]


def test_all_three_are_ours() -> None:
    assert packages.home() == ROOT


def test_a_stranger_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places = dict.fromkeys(packages.NAMES, ROOT) | {"specs": tmp_path}
    monkeypatch.setattr(packages, "place_of", places.__getitem__)
    with pytest.raises(ConfigError, match=r"specs from .*use an environment of its own"):
        packages.home()
