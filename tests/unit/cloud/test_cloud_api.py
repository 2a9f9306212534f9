"""The table of requests: every path both ways, and what fits no row (specs/9-cloudlink.md, 9.2)."""

from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.cloud_api import (
    COMMON_STATUSES,
    ROUTE_OF,
    ROUTES,
    Listener,
    NoSuchPathError,
    Route,
    RouteId,
    WrongMethodError,
    match_untrusted,
    path_of,
)
from protocols.errors import PolicyError, UsageError

DEVICE: Final = "0123456789abcdef" * 2
UPLOAD: Final = "ab" * 16
PARTS: Final[dict[str, str | int]] = {"device": DEVICE, "upload": UPLOAD, "offset": 0, "after": 2**63 - 1}
METHODS: Final = ("GET", "POST", "PUT", "DELETE")
every_route = pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.id.name)


def parts_of(route: Route) -> dict[str, str | int]:
    return {name: value for name, value in PARTS.items() if f"{{{name}}}" in route.path}


def path(route: Route) -> str:
    return path_of(route.id, **parts_of(route))


def test_the_table_is_whole() -> None:
    assert {route.id for route in ROUTES} == set(RouteId)
    assert len({(route.method, route.path) for route in ROUTES}) == len(ROUTES)
    for route in ROUTES:
        assert 200 in route.statuses
        assert not set(route.statuses) & set(COMMON_STATUSES)
        assert (route.max_body_bytes > 0) == (route.method != "GET" and route.id is not RouteId.UPLOAD_FINISH)


@every_route
def test_every_row_is_found_by_its_path(route: Route) -> None:
    matched = match_untrusted(route.method, path(route), route.listener)
    assert matched.route is route is ROUTE_OF[route.id]
    assert matched.parts == {name: str(value) for name, value in parts_of(route).items()}


@every_route
def test_cl_5_another_method_is_known_as_such(route: Route) -> None:
    served = {each.method for each in ROUTES if each.listener is route.listener and fits(each, path(route))}
    for method in METHODS:
        if method not in served:
            with pytest.raises(WrongMethodError):
                match_untrusted(method, path(route), route.listener)


def fits(route: Route, text: str) -> bool:
    try:
        return match_untrusted(route.method, text, route.listener).route is route
    except PolicyError:
        return False


@every_route
def test_cl_5_a_path_matches_exactly_or_not_at_all(route: Route) -> None:
    good = path(route)
    wrong = [good + "/", good + "?", "/" + good, good.upper(), good.replace("/v1", "/v2"), good[1:], good + "/x", ""]
    for text in wrong:
        with pytest.raises(NoSuchPathError):
            match_untrusted(route.method, text, route.listener)
    other = Listener.DEVICES if route.listener is Listener.ENROLMENT else Listener.ENROLMENT
    with pytest.raises(NoSuchPathError):
        match_untrusted(route.method, good, other)


@pytest.mark.parametrize("number", ["00", "01", "-1", "+1", "1.0", "", " 1", "1e3", "٣", "²", str(2**63), "9" * 40])
def test_cl_5_numbers_are_written_one_way(number: str) -> None:
    with pytest.raises(NoSuchPathError):
        match_untrusted("GET", f"/v1/devices/{DEVICE}/downlink/{number}")
    with pytest.raises(NoSuchPathError):
        match_untrusted("PUT", f"/v1/devices/{DEVICE}/uploads/{UPLOAD}/{number}")


@pytest.mark.parametrize("device", [DEVICE[1:], DEVICE + "0", DEVICE.upper(), "g" * 32, "..", "*", "%30" * 11, ""])
def test_cl_5_ids_are_written_one_way(device: str) -> None:
    with pytest.raises(NoSuchPathError):
        match_untrusted("POST", f"/v1/devices/{device}/telemetry")
    with pytest.raises(NoSuchPathError):
        match_untrusted("GET", f"/v1/devices/{DEVICE}/uploads/{device}")


@pytest.mark.parametrize(
    ("route", "parts"),
    [
        (RouteId.TELEMETRY, {}),
        (RouteId.TELEMETRY, {"device": DEVICE.upper()}),
        (RouteId.TELEMETRY, {"device": "../x"}),
        (RouteId.HEALTH, {"device": DEVICE}),
        (RouteId.DOWNLINK, {"device": DEVICE, "after": -1}),
    ],
)
def test_a_path_that_nobody_serves_is_not_made(route: RouteId, parts: dict[str, str | int]) -> None:
    with pytest.raises(UsageError):
        path_of(route, **parts)


@given(st.text(max_size=60) | st.lists(st.sampled_from(["", "v1", "devices", DEVICE, "uploads", "0"])).map("/".join))
def test_any_path_is_in_the_table_or_refused(text: str) -> None:
    for method in METHODS:
        try:
            matched = match_untrusted(method, text)
        except PolicyError:
            continue
        assert path_of(matched.route.id, **matched.parts) == text
