"""What keys of a configuration file have to do with each other."""

from collections.abc import Collection, Iterator
from typing import Final

from nodes.config.lines import Where
from nodes.config.tables import Config
from specs.registry import Role

_FOR_ROLES: Final = {
    ("link", "listen"): (Role.DRONE,),
    ("link", "connect"): (Role.RC,),
    ("link", "drones"): (Role.RC,),
    ("link", "carrier"): (Role.DRONE, Role.RC),
    ("ground", "listen"): (Role.RC,),
    ("ground", "connect"): (Role.MOBILE,),
    ("cloud", "listen"): (Role.CLOUD,),
    ("cloud", "enrolment"): (Role.CLOUD, Role.MOBILE, Role.RC),
    ("cloud", "connect"): (Role.MOBILE, Role.RC),
    ("cloud", "enabled"): (Role.MOBILE, Role.RC),
    ("cloud", "names"): (Role.CLOUD,),
    ("authority", "holders"): (Role.DRONE,),
    ("authority", "owner"): (Role.DRONE,),
    ("authority", "hold_after_s"): (Role.DRONE,),
    ("authority", "act_after_s"): (Role.DRONE,),
    ("authority", "action"): (Role.DRONE,),
    ("logs", "quota_mib"): (Role.DRONE, Role.RC, Role.MOBILE),
    ("flight", "replay"): (Role.DRONE,),
    ("flight", "model"): (Role.DRONE,),
    ("flight", "speed"): (Role.DRONE,),
    ("video", "enabled"): (Role.DRONE,),
    ("video", "bitrate_bps"): (Role.DRONE,),
    ("video", "rate_hz"): (Role.DRONE,),
    ("mavlink", "ports"): (Role.DRONE, Role.RC, Role.MOBILE),
    ("mavlink", "fly"): (Role.RC, Role.MOBILE),
    ("mavlink", "failsafe"): (Role.DRONE,),
    ("pilot", "plays"): (Role.RC, Role.MOBILE),
    ("pilot", "partner"): (Role.RC, Role.MOBILE),
}


def contradictions(config: Config, given: Collection[Where]) -> Iterator[tuple[Where, str]]:
    """Give each contradiction as (where, text); ``given`` holds the (table, key) pairs that the file has."""
    role = config.node.role
    for (table, key), wanted in _FOR_ROLES.items():
        if (table, key) in given and role not in wanted:
            names = " or ".join(f'"{each.name.lower()}"' for each in wanted)
            text = f'"{key}" in [{table}] is for role {names}, and this is "{role.name.lower()}"'
            yield (table, key), text
    keepalive_s, dead_after_s = config.limits.keepalive_s, config.limits.dead_after_s
    if keepalive_s >= dead_after_s:
        key = "dead_after_s" if ("limits", "dead_after_s") in given else "keepalive_s"
        text = f'"dead_after_s" in [limits], {dead_after_s:g}, must be more than "keepalive_s", {keepalive_s:g}'
        yield ("limits", key), text
    authority = config.authority
    if authority.hold_after_s >= authority.act_after_s:
        key = "act_after_s" if ("authority", "act_after_s") in given else "hold_after_s"
        text = f'"act_after_s" in [authority], {authority.act_after_s:g}, must be more than "hold_after_s"'
        yield ("authority", key), f"{text}, {authority.hold_after_s:g}"
    if config.flight.model and config.flight.replay is not None:
        yield ("flight", "model"), '"model" and "replay" in [flight] exclude each other: remove one'
    yield from _mavlink_contradictions(config)
    yield from _pilot_contradictions(config)


def _mavlink_contradictions(config: Config) -> Iterator[tuple[Where, str]]:
    if config.node.role is Role.DRONE and config.mavlink.ports:
        if len(config.mavlink.ports) > 1:
            yield ("mavlink", "ports"), '"ports" in [mavlink]: a drone has one autopilot, so name one port'
        if config.flight.model or config.flight.replay is not None:
            yield ("mavlink", "ports"), '"ports" in [mavlink] and "model" or "replay" in [flight] exclude each other'


def _pilot_contradictions(config: Config) -> Iterator[tuple[Where, str]]:
    pilot = config.pilot
    if (pilot.plays == "turns") != (pilot.partner is not None):
        yield ("pilot", "partner"), '"partner" in [pilot] is for plays = "turns", which needs it'
    if pilot.plays != "none" and config.mavlink.ports and config.mavlink.fly:
        text = '"plays" in [pilot] and the ground stations of [mavlink] would fly both: set "fly" there to false'
        yield ("pilot", "plays"), text
