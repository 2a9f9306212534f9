"""What keys of a configuration file have to do with each other."""

from collections.abc import Collection, Iterator

from nodes.config.lines import Where
from nodes.config.tables import Config
from specs.registry import Role

_FOR_ROLE = {
    ("link", "listen"): Role.DRONE,
    ("link", "connect"): Role.RC,
    ("flight", "replay"): Role.DRONE,
    ("flight", "model"): Role.DRONE,
    ("flight", "speed"): Role.DRONE,
    ("video", "enabled"): Role.DRONE,
    ("video", "bitrate_bps"): Role.DRONE,
    ("video", "rate_hz"): Role.DRONE,
}


def contradictions(config: Config, given: Collection[Where]) -> Iterator[tuple[Where, str]]:
    """Give each contradiction as (where, text); ``given`` holds the (table, key) pairs that the file has."""
    role = config.node.role
    for (table, key), wanted in _FOR_ROLE.items():
        if (table, key) in given and role is not wanted:
            text = f'"{key}" in [{table}] is for role "{wanted.name.lower()}", and this is "{role.name.lower()}"'
            yield (table, key), text
    keepalive_s, dead_after_s = config.limits.keepalive_s, config.limits.dead_after_s
    if keepalive_s >= dead_after_s:
        key = "dead_after_s" if ("limits", "dead_after_s") in given else "keepalive_s"
        text = f'"dead_after_s" in [limits], {dead_after_s:g}, must be more than "keepalive_s", {keepalive_s:g}'
        yield ("limits", key), text
    if config.flight.model and config.flight.replay is not None:
        yield ("flight", "model"), '"model" and "replay" in [flight] exclude each other: remove one'
