"""Whatever breaks, and whenever: messages count once and in order, logs arrive whole, the cloud is heard."""

import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from nodes.uplink.backoff import BackoffLimits
from nodes.uplink.outbox import ParcelKind
from nodes.uplink.uplink import UplinkLimits
from nodes.uplink.uploads import UploadLimits
from protocols.cloud_api import RouteId
from specs.cloudlink import UploadPhase
from tests.conftest import examples
from tests.helpers.sealed import sealed
from tests.live.kit import virtual
from tests.unit.uplink.fakecloud import Fault
from tests.unit.uplink.scene import Scene, message, until

LOGS = (sealed(5_000), sealed(3_000, "another"))
LIMITS = UplinkLimits(
    retry=BackoffLimits(0.1, 2.0),
    refused_retry=BackoffLimits(0.1, 2.0),
    upload=UploadLimits(chunk_bytes=777, look_s=1.0),
)
FAULTS = st.lists(st.one_of(st.none(), st.sampled_from(Fault)), max_size=60)
LIVES = st.lists(st.floats(0.05, 3.0), max_size=3)
"""How long each life of the device lasts before it is restarted; the last one ends when all is done."""


@settings(deadline=None, max_examples=examples(20))
@given(faults=FAULTS, lives=LIVES)
def test_cl_10_cl_11_everything_arrives_once_and_in_order(faults: list[Fault | None], lives: list[float]) -> None:
    @virtual
    async def run() -> None:
        scene = Scene(limits=LIMITS)
        scene.cloud.faults = list(faults)
        for log in LOGS:
            await scene.add_log(log)
        for topic in ("one", "two"):
            scene.cloud.tell(topic)
        sent = 0
        for life in lives:
            async with scene.uplink() as uplink:
                for _ in range(3):
                    sent += 1
                    uplink.telemetry(message(sent))
                    uplink.alarm(f"alarm {sent}")
                    await trio.sleep(life / 3)
        scene.cloud.tell("three")
        async with scene.uplink() as uplink:
            sent += 1
            uplink.telemetry(message(sent))
            uplink.alarm(f"alarm {sent}")
            await uplink.flush()
            await until(lambda: len(_stored(scene)) == 2 and scene.taken[-1:] == ["three"])
            await until(lambda: not scene.cloud.queue)
            await until(lambda: all(tally.parcels == 0 for tally in scene.outbox.state.waiting.values()))
        assert scene.cloud.messages == [message(number) for number in range(1, sent + 1)]
        assert [alarm.kind for alarm in scene.cloud.alarms] == [f"alarm {number}" for number in range(1, sent + 1)]
        assert sorted(_stored(scene)) == sorted(LOGS)
        # Taken in order; again only what was not yet noted when the device stopped.
        assert sorted(set(scene.taken), key=scene.taken.index) == ["one", "two", "three"]

    run()


def _stored(scene: Scene) -> list[bytes]:
    return [bytes(upload.data) for upload in scene.cloud.uploads.values() if upload.phase is UploadPhase.STORED]


@settings(deadline=None, max_examples=examples(10))
@given(faults=st.lists(st.sampled_from(Fault), min_size=1, max_size=40))
def test_cl_9_what_was_acknowledged_here_is_at_the_cloud(faults: list[Fault]) -> None:
    """At each moment: what the outbox has let go of, the cloud has."""

    @virtual
    async def run() -> None:
        scene = Scene(limits=LIMITS)
        left = list(faults)

        def next_fault(route: RouteId) -> Fault | None:
            state = scene.outbox.state
            gone = state.last[ParcelKind.TELEMETRY] - state.waiting[ParcelKind.TELEMETRY].parcels
            assert gone <= max(scene.cloud.highest.values(), default=0)
            return left.pop() if route is RouteId.TELEMETRY and left else None

        scene.cloud.fault_of = next_fault
        async with scene.uplink() as uplink:
            for number in range(20):
                uplink.telemetry(message(number))
                await uplink.flush()
            await until(lambda: len(scene.cloud.messages) == 20)

    run()
