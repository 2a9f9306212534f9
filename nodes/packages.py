"""Where our three top-level packages were loaded from (ADR 1: their names are generic, and may collide)."""

from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from protocols.errors import ConfigError

NAMES: Final = ("specs", "protocols", "nodes")


def home() -> Path:
    """Return the folder that holds all three; ConfigError when one of them is another distribution's."""
    places = {name: place_of(name) for name in NAMES}
    if len(set(places.values())) != 1:
        strangers = ", ".join(f"{name} from {place}" for name, place in places.items() if place != places["nodes"])
        raise ConfigError(
            f"another distribution's package stands before ours: {strangers}; use an environment of its own"
        )
    return places["nodes"]


def place_of(name: str) -> Path:
    """Return the folder that a top-level package stands in."""
    spec = find_spec(name)
    origin = spec.origin if spec else None
    return Path(origin).resolve().parent.parent if origin else Path()


def release() -> str:
    """Return the version of the installed distribution."""
    try:
        return version("aerolink")
    except PackageNotFoundError:
        return "unknown (not installed)"
