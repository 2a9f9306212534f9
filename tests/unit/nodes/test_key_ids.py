"""A node with several suites has several static keys: which of them it is known by depends on whom it speaks with."""

from types import SimpleNamespace
from typing import cast

import pytest

from nodes import Drone
from nodes.stations.drone import DroneStation
from nodes.stores.memory import MemoryPeerDirectory
from nodes.testing import MemoryNetwork
from protocols.crypto.fingerprint import key_id_of
from protocols.crypto.suites import SUITES
from protocols.errors import UsageError
from protocols.link.config import LinkConfig
from specs.registry import Role, SuiteId
from tests.live.kit import make_key, record_of, stores_of

BOTH = (SUITES[SuiteId.P256_AESGCM_SHA256], SUITES[SuiteId.X25519_CHACHAPOLY_BLAKE2S])


@pytest.mark.parametrize("first", [0, 1], ids=["P256 first", "25519 first"])
async def test_a_node_goes_by_the_key_of_its_first_suite_and_seals_by_the_key_that_its_cloud_knows(first: int) -> None:
    keys = {dh: make_key(dh) for dh in ("P256", "25519")}
    ids = {dh: key_id_of(dh, key.public) for dh, key in keys.items()}
    suites = BOTH if first == 0 else BOTH[::-1]
    async with Drone(stores_of(*keys.values()), LinkConfig(suites=suites), network=MemoryNetwork()) as drone:
        assert drone.key_id() == ids[suites[0].dh]
        assert {dh: drone.key_id(dh) for dh in ids} == ids
        with pytest.raises(UsageError):
            drone.key_id("448")
        for dh, own in ids.items():
            cloud = record_of(make_key(dh), Role.CLOUD)
            station = cast("DroneStation", SimpleNamespace(drone=drone, _peers=MemoryPeerDirectory((cloud,))))
            assert await DroneStation.known_as(station, cloud.key_id) == own
            assert await DroneStation.known_as(station, bytes(16)) == drone.key_id()
