"""MAVSDK as a ground station, in a process of its own: it is asyncio, and its server listens on all addresses.

It connects, looks where the vehicle is, fetches the parameters, sends a mission up and down, and arms. Its last line is
one JSON object.
"""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from importlib import import_module, resources
from typing import Any, Final

PORT: Final = 50051


async def ride(address: str, mission: list[list[Any]]) -> dict[str, Any]:
    mavsdk: Any = import_module("mavsdk_grpc")
    system = mavsdk.System(mavsdk_server_address="127.0.0.1", port=PORT)
    await system.connect(system_address=address)
    await _first(system.core.connection_state(), "is_connected")
    position = await _first(system.telemetry.position(), "latitude_deg")
    found = await system.param.get_all_params()
    made = import_module("mavsdk_grpc.mission_raw").MissionItem
    items = [
        made(number, item[0], item[1], int(not number), 1, *item[2:], 0)  # of the mission itself, not of a fence
        for number, item in enumerate(mission)
    ]
    await system.mission_raw.upload_mission(items)
    back = await system.mission_raw.download_mission()
    await system.action.arm()
    armed = await _first(system.telemetry.armed(), None)
    return {
        "latitude_deg": position.latitude_deg,
        "parameters": {each.name: each.value for each in found.float_params},
        "mission_is_back": back == items,
        "armed": armed,
        "version": (await system.info.get_version()).flight_sw_major,
    }


async def _first(values: AsyncIterator[Any], name: str | None) -> Any:
    """Return the first value that is true, by its attribute or by itself."""
    async for value in values:
        if value if name is None else getattr(value, name):
            return value
    raise ConnectionError("the stream has ended")


def main(address: str, mission: str) -> None:
    with resources.as_file(resources.files("mavsdk_grpc.bin") / "mavsdk_server") as program:
        server = subprocess.Popen([program, "-p", str(PORT), address], stdout=sys.stderr)
    try:
        sys.stdout.write(json.dumps(asyncio.run(ride(address, json.loads(mission)))) + "\n")
    finally:
        server.kill()
        server.wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
