"""The uplink against a cloud in memory, on a clock that jumps."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import pairwise

import pytest
import trio

from nodes.ports import LogState
from nodes.uplink.backoff import BackoffLimits
from nodes.uplink.outbox import MemoryOutbox, OutboxLimits, ParcelKind
from nodes.uplink.states import UplinkState
from protocols.cloud_api import RouteId
from protocols.errors import MalformedError, MessageTooLargeError, StorageError, UsageError
from protocols.events import RelayClosed, RelayDatagram, RelayMessage
from protocols.pki import ClockError, EnrolmentNeededError
from specs.cloudlink import UploadKind, UploadPhase, UploadReason
from specs.registry import Role
from tests.helpers.sealed import sealed
from tests.live.kit import virtual
from tests.unit.uplink.fakecloud import DEVICE, REFUSED, FakeCloud, FakeCredentials, Fault
from tests.unit.uplink.scene import LIMITS, Scene, message, until

ONLINE, WAITING, CONNECTING, STOPPED = (
    UplinkState.ONLINE,
    UplinkState.WAITING,
    UplinkState.CONNECTING,
    UplinkState.STOPPED,
)
LOG = sealed(10_000)
DRONE = bytes(range(16))


class AlwaysDue(FakeCredentials):
    """A device whose clock is far ahead of the cloud's."""

    def renewal_due(self) -> bool:
        return True


# --- telemetry and alarms ---------------------------------------------------------------------------


@virtual
async def test_telemetry_and_alarms_arrive_in_order() -> None:
    scene = Scene()
    async with scene.uplink() as uplink:
        for number in range(100):
            uplink.telemetry(message(number), drone=DRONE)
        uplink.alarm("replay", "an old message came again", source=DRONE)
        uplink.telemetry(message(100))
        await until(lambda: len(scene.cloud.messages) == 101 and bool(scene.cloud.alarms))
        assert scene.cloud.messages == [message(number) for number in range(101)]
        assert scene.cloud.drones == {DRONE, b""}
        (alarm,) = scene.cloud.alarms
        assert (alarm.kind, alarm.detail, alarm.source, alarm.time_ms) == (
            "replay",
            "an old message came again",
            DRONE,
            1_800_000_000_000,
        )
        await until(lambda: scene.outbox.state.waiting[ParcelKind.TELEMETRY].parcels == 0)
        assert uplink.accepted_messages == 101


@virtual
async def test_cl_10_what_was_taken_offline_is_sent_later_and_after_a_restart() -> None:
    scene = Scene()
    scene.cloud.fault_of = lambda _: Fault.DOWN
    async with scene.uplink() as uplink:
        uplink.telemetry(message(1))
        uplink.alarm("no cloud")
        await trio.sleep(100)
        assert uplink.state in {WAITING, CONNECTING}
        uplink.telemetry(message(2))  # taken with the last breath
    assert scene.cloud.messages == []
    assert scene.outbox.state.waiting[ParcelKind.TELEMETRY].items == 2
    scene.cloud.fault_of = lambda _: None
    async with scene.uplink() as uplink:
        uplink.telemetry(message(3))
        await until(lambda: len(scene.cloud.messages) == 3)
        assert scene.cloud.messages == [message(1), message(2), message(3)]
        await until(lambda: [alarm.kind for alarm in scene.cloud.alarms] == ["no cloud"])


@virtual
async def test_cl_11_a_lost_answer_counts_a_batch_once() -> None:
    scene = Scene()
    scene.cloud.faults = [None, None, *[Fault.LOST_ANSWER] * 3]
    async with scene.uplink() as uplink:
        uplink.telemetry(message(1))
        await until(lambda: scene.outbox.state.last[ParcelKind.TELEMETRY] == 1)
        await until(lambda: scene.outbox.state.waiting[ParcelKind.TELEMETRY].parcels == 0)
        assert scene.cloud.messages == [message(1)]


@virtual
async def test_cl_11_a_device_that_lost_its_outbox_loses_nothing_else() -> None:
    scene = Scene()
    for number in (1, 2):
        async with scene.uplink() as uplink:
            uplink.telemetry(message(number))
            await until(lambda: len(scene.cloud.messages) == number)  # noqa: B023  # waited for at once
        scene.outbox = MemoryOutbox()
    assert scene.cloud.messages == [message(1), message(2)]


@virtual
async def test_what_the_cloud_will_never_take_does_not_hold_up_the_rest() -> None:
    scene = Scene()
    scene.cloud.status_of[RouteId.TELEMETRY] = 400
    async with scene.uplink() as uplink:
        uplink.telemetry(message(1))
        await until(lambda: len(scene.refused) == 1)
        del scene.cloud.status_of[RouteId.TELEMETRY]
        uplink.telemetry(message(2))
        await until(lambda: scene.cloud.messages == [message(2)])
        assert [parcel.sequence for parcel in scene.refused] == [1]
        assert uplink.state is ONLINE
        assert uplink.accepted_messages == 1


@pytest.mark.parametrize("fault", [Fault.BUSY, Fault.FULL])
def test_cl_9_a_busy_or_full_cloud_is_asked_again_on_the_same_connection(fault: Fault) -> None:
    @virtual
    async def run() -> None:
        scene = Scene()
        left = [fault] * 4

        def next_fault(route: RouteId) -> Fault | None:
            return left.pop() if route is RouteId.TELEMETRY and left else None

        scene.cloud.fault_of = next_fault
        async with scene.uplink() as uplink:
            uplink.telemetry(message(1))
            uplink.alarm("goes on")
            await until(lambda: bool(scene.cloud.messages) and bool(scene.cloud.alarms))
            assert not left
            assert [state for state, _ in scene.states] == [CONNECTING, ONLINE]

    run()


@virtual
async def test_what_the_cloud_would_refuse_is_refused_here() -> None:
    async with Scene().uplink() as uplink:
        with pytest.raises(MessageTooLargeError):
            uplink.telemetry(b"\x80\x00" + bytes(60_000))
        for wrong in (b"", b"\x00", b"\x00\x00", b"\x01\x01no message of a drone"):
            with pytest.raises(UsageError):
                uplink.telemetry(wrong)
        with pytest.raises(UsageError):
            uplink.telemetry(message(1), drone=b"short")
        for kind in ("", "two\nlines", "x" * 65):
            with pytest.raises(UsageError):
                uplink.alarm(kind)


@virtual
async def test_an_alarm_does_not_fail_for_its_words() -> None:
    scene = Scene()
    async with scene.uplink() as uplink:
        uplink.alarm("odd", "two\nlines " + "\N{GREEK SMALL LETTER ALPHA}" * 200)
        await until(lambda: bool(scene.cloud.alarms))
        assert scene.cloud.alarms[0].detail == "two?lines " + "\N{GREEK SMALL LETTER ALPHA}" * 95


@virtual
async def test_what_is_denied_is_kept() -> None:
    scene = Scene()
    scene.cloud.status_of[RouteId.TELEMETRY] = 403
    async with scene.uplink() as uplink:
        uplink.telemetry(message(1))
        await until(lambda: uplink.state is UplinkState.REFUSED)
        del scene.cloud.status_of[RouteId.TELEMETRY]
        await until(lambda: scene.cloud.messages == [message(1)])
        assert scene.refused == []


@virtual
async def test_a_full_disk_is_told_and_nothing_is_lost_meanwhile() -> None:
    class FullOutbox(MemoryOutbox):
        full = True

        async def put(self, kind: ParcelKind, encode: object, items: int = 1) -> int:
            if self.full:
                raise StorageError("the disk is full (a test)")
            return await super().put(kind, encode, items)  # type: ignore[arg-type]

    outbox = FullOutbox(OutboxLimits())
    scene = Scene(outbox=outbox)
    async with scene.uplink() as uplink:
        uplink.telemetry(message(1))
        await until(lambda: len(scene.storage) >= 2)
        with pytest.raises(StorageError):
            await uplink.flush()
        uplink.telemetry(message(2))
        outbox.full = False
        await until(lambda: scene.cloud.messages == [message(1), message(2)])


# --- states -----------------------------------------------------------------------------------------


@virtual
async def test_tries_are_made_with_waits_that_double() -> None:
    scene = Scene(limits=replace(LIMITS, retry=BackoffLimits(1.0, 8.0)))
    began: list[float] = []

    def down(_route: RouteId) -> Fault:
        began.append(trio.current_time())
        return Fault.DOWN

    scene.cloud.fault_of = down
    async with scene.uplink() as uplink:
        await until(lambda: len(began) == 7)
        waits = [later - earlier for earlier, later in pairwise(began)]
        assert waits == pytest.approx([0.75, 1.5, 3.0, 6.0, 6.0, 6.0], abs=0.03)
        await until(lambda: uplink.state is WAITING)
        assert uplink.reason == "nobody is there (a test)"
        count, now = len(began), trio.current_time()
        uplink.retry_now()
        await until(lambda: len(began) > count)
        assert began[-1] - now < 0.1
        scene.cloud.fault_of = lambda _: None
        await until(lambda: uplink.state is ONLINE)
        assert uplink.reason == ""
    assert scene.states[-1] == (STOPPED, "")


@virtual
async def test_a_connection_that_lived_begins_with_short_waits_again() -> None:
    scene = Scene(limits=replace(LIMITS, retry=BackoffLimits(1.0, 64.0)))
    scene.cloud.faults = [Fault.DOWN] * 6
    async with scene.uplink() as uplink:
        await until(lambda: uplink.state is ONLINE)
        await trio.sleep(20)
        scene.cloud.faults = [Fault.DOWN]
        scene.cloud.restart()
        await until(lambda: uplink.state is WAITING)
        began = trio.current_time()
        await until(lambda: uplink.state is ONLINE)
        assert trio.current_time() - began < 1.0


@virtual
async def test_connections_that_bring_a_log_on_are_short_and_soon_followed_by_the_next() -> None:
    scene = Scene(limits=replace(LIMITS, retry=BackoffLimits(1.0, 64.0)))
    chunks = iter(range(1_000))

    def fault_of(route: RouteId) -> Fault | None:
        return Fault.DOWN if route is RouteId.UPLOAD_CHUNK and next(chunks) % 3 == 2 else None

    scene.cloud.fault_of = fault_of
    await scene.add_log(LOG)
    began = trio.current_time()
    async with scene.uplink():
        await until(lambda: bool(scene.ends))
    lives = sum(state is ONLINE for state, _ in scene.states)
    assert lives > 4
    assert trio.current_time() - began < lives  # each wait is one of the first


@pytest.mark.bare
@virtual
async def test_a_cloud_that_never_answers_is_asked_less_and_less() -> None:
    scene = Scene(limits=replace(LIMITS, retry=BackoffLimits(1.0, 64.0)))
    scene.cloud.fault_of = lambda _: Fault.TIMEOUT  # each try takes longer than a connection that has settled
    async with scene.uplink():
        await until(lambda: len(scene.states) == 14)
        assert scene.states[-1][0] is WAITING
        began = trio.current_time()
        await until(lambda: len(scene.states) == 15)
        assert trio.current_time() - began > 40


@pytest.mark.parametrize(
    "error",
    [
        EnrolmentNeededError("this device is not enrolled (a test)"),
        ClockError("the clock is wrong (a test)"),
        REFUSED,
    ],
)
def test_a_refusal_is_shown_and_tried_again_later(error: Exception) -> None:
    @virtual
    async def run() -> None:
        credentials = FakeCredentials()
        credentials.error = error
        scene = Scene(credentials=credentials)
        async with scene.uplink() as uplink:
            uplink.telemetry(message(1))
            await until(lambda: uplink.state is UplinkState.REFUSED)
            assert uplink.reason == str(error)
            began = trio.current_time()
            credentials.error = None
            await until(lambda: uplink.state is ONLINE)
            assert trio.current_time() - began > 3
            await until(lambda: scene.cloud.messages == [message(1)])

    run()


@virtual
async def test_cl_7_a_device_that_is_revoked_is_refused() -> None:
    scene = Scene()
    async with scene.uplink() as uplink:
        await until(lambda: uplink.state is ONLINE)
        scene.cloud.status_of = dict.fromkeys(RouteId, 404)
        uplink.telemetry(message(1))
        await uplink.flush()
        await until(lambda: uplink.state is UplinkState.REFUSED)
        assert "revoked" in uplink.reason
        assert scene.outbox.state.waiting[ParcelKind.TELEMETRY].items == 1


@virtual
async def test_the_time_is_learned_at_once_and_every_hour() -> None:
    scene = Scene()
    async with scene.uplink():
        await until(lambda: scene.credentials.learned == [1_800_000_000.0])
        scene.cloud.time_ms += 3_600_000
        await trio.sleep(3_601)
        assert scene.credentials.learned == [1_800_000_000.0, 1_800_003_600.0]


@virtual
async def test_kl_40_a_certificate_that_is_due_is_renewed_and_shown() -> None:
    scene = Scene()
    scene.credentials.is_due = True
    async with scene.uplink() as uplink:
        await until(lambda: scene.credentials.certificates == [b"certificate"])
        await until(lambda: [state for state, _ in scene.states] == [CONNECTING, ONLINE, CONNECTING, ONLINE])
        scene.cloud.status_of[RouteId.CERTIFICATE] = 403
        scene.credentials.is_due = True
        await trio.sleep(3_601)
        assert scene.cloud.seen.count(RouteId.CERTIFICATE) == 2
        uplink.telemetry(message(1))  # the old one is still good
        await until(lambda: scene.cloud.messages == [message(1)])
        assert scene.cloud.renewals == 1


@virtual
async def test_kl_41_a_certificate_that_is_due_as_soon_as_it_comes_is_asked_for_once_an_hour() -> None:
    scene = Scene(credentials=AlwaysDue())
    async with scene.uplink() as uplink:
        await trio.sleep(3_500)
        assert scene.cloud.renewals == 1
        assert [state for state, _ in scene.states] == [CONNECTING, ONLINE]
        await trio.sleep(200)
        assert scene.cloud.renewals == 2
        assert uplink.state is ONLINE


# --- logs -------------------------------------------------------------------------------------------


@virtual
async def test_cl_21_a_log_arrives_in_chunks_with_progress() -> None:
    scene = Scene()
    async with scene.uplink() as uplink:
        name = await scene.add_log(LOG)
        uplink.log_added()
        await until(lambda: bool(scene.ends))
        (end,) = scene.ends
        assert (end.entry.sha256, end.phase, end.reason) == (name, UploadPhase.STORED, UploadReason.NONE)
        (upload,) = scene.cloud.uploads.values()
        assert bytes(upload.data) == LOG
        assert (upload.wanted.kind, upload.wanted.sha256) == (UploadKind.SEALED_LOG, name)
        done = [step.done_bytes for step in scene.progress]
        assert done == [*range(0, len(LOG), 1_000), len(LOG), len(LOG)]
        entry = await scene.store.find(name)
        assert entry is not None
        assert entry.state is LogState.ACKNOWLEDGED
        await trio.sleep(60)
        assert len(scene.cloud.uploads) == 1
        assert scene.cloud.seen.count(RouteId.UPLOAD_OPEN) == 1


@virtual
async def test_cl_20_an_upload_goes_on_where_it_was_after_restarts_of_both() -> None:
    scene = Scene()
    await scene.add_log(LOG)
    for steps in (3, 4, 4):
        scene.cloud.faults = [None] * (steps + 3)
        scene.cloud.fault_of = lambda _: Fault.RESTART
        async with scene.uplink() as uplink:
            await until(lambda: uplink.state is WAITING)  # waited for at once
    scene.cloud.fault_of = lambda _: None
    async with scene.uplink():
        await until(lambda: bool(scene.ends))
    (upload,) = scene.cloud.uploads.values()
    assert bytes(upload.data) == LOG
    assert scene.cloud.seen.count(RouteId.UPLOAD_CHUNK) < 2 * len(LOG) / 1_000


@virtual
async def test_cl_26_a_held_log_is_handed_over_and_asked_about_until_it_is_stored() -> None:
    scene = Scene(FakeCloud(lambda _: (UploadPhase.HELD, UploadReason.NONE)))
    async with scene.uplink():
        name = await scene.add_log(LOG)
        await until(lambda: bool(scene.ends))
        await trio.sleep(100)
        assert [end.phase for end in scene.ends] == [UploadPhase.HELD]
        entry = await scene.store.find(name)
        assert entry is not None
        assert entry.state is LogState.HANDED_OVER
        next(iter(scene.cloud.uploads.values())).phase = UploadPhase.STORED
        await until(lambda: [end.phase for end in scene.ends] == [UploadPhase.HELD, UploadPhase.STORED])
        assert scene.cloud.seen.count(RouteId.UPLOAD_FINISH) == 1


@virtual
async def test_cl_26_held_logs_are_asked_about_less_and_less_until_the_connection_is_new() -> None:
    """A thousand of them, for a drone that the cloud will never know, must not be two hundred requests a second."""
    scene = Scene(FakeCloud(lambda log: (UploadPhase.HELD if log == LOG else UploadPhase.STORED, UploadReason.NONE)))
    asked = partial(scene.cloud.seen.count, RouteId.UPLOAD_OPEN)
    async with scene.uplink() as uplink:
        await scene.add_log(LOG)
        uplink.log_added()
        await until(lambda: bool(scene.ends))
        times = await moments(asked, 7_200)
        waits = [later - earlier for earlier, later in pairwise(times)]
        assert waits[:6] == pytest.approx([10, 20, 40, 80, 160, 320], abs=6)
        assert waits[6:] == pytest.approx([600] * len(waits[6:]), abs=6)
        assert len(waits) > 12
        before = asked()
        await scene.add_log(sealed(5_000))  # another log waits for none of that
        uplink.log_added()
        await until(lambda: len(scene.ends) == 2, 1)
        assert asked() == before + 1
        scene.cloud.fault_of = lambda _: Fault.RESTART
        uplink.telemetry(message(1))
        await until(lambda: uplink.state is WAITING, 10)
        scene.cloud.fault_of = lambda _: None
        await until(lambda: uplink.state is ONLINE, 10)
        waits = [later - earlier for earlier, later in pairwise(await moments(asked, 60))]
        assert waits[:3] == pytest.approx([5, 10, 20], abs=6)
    assert [end.phase for end in scene.ends] == [UploadPhase.HELD, UploadPhase.STORED]


async def moments(count: Callable[[], int], patience_s: float) -> list[float]:
    """Return when a count grows, within some time, to a second."""
    end, times, before = trio.current_time() + patience_s, list[float](), count()
    while trio.current_time() < end:
        await trio.sleep(1)
        if count() > before:
            before = count()
            times.append(trio.current_time())
    return times


@virtual
async def test_cl_26_a_refused_log_is_kept_told_and_asked_about_once() -> None:
    def verdict(log: bytes) -> tuple[UploadPhase, UploadReason]:
        refused = log == LOG
        return (UploadPhase.REFUSED, UploadReason.SIGNATURE) if refused else (UploadPhase.STORED, UploadReason.NONE)

    scene = Scene(FakeCloud(verdict))
    async with scene.uplink():
        bad, good = await scene.add_log(LOG), await scene.add_log(sealed(3_000, "another"))
        await until(lambda: len(scene.ends) == 2)
        await trio.sleep(100)
        assert [(end.entry.sha256, end.phase, end.reason) for end in scene.ends] == [
            (bad, UploadPhase.REFUSED, UploadReason.SIGNATURE),
            (good, UploadPhase.STORED, UploadReason.NONE),
        ]
        async with scene.store.content(bad) as content:
            assert bytes(content) == LOG
        assert scene.cloud.seen.count(RouteId.UPLOAD_OPEN) == 2


@virtual
async def test_a_log_that_is_too_large_for_the_cloud_is_asked_about_once() -> None:
    scene = Scene()
    scene.cloud.status_of[RouteId.UPLOAD_OPEN] = 413
    async with scene.uplink():
        await scene.add_log(LOG)
        await until(lambda: bool(scene.ends))
        await trio.sleep(100)
        assert [end.phase for end in scene.ends] == [UploadPhase.REFUSED]
        assert scene.cloud.seen.count(RouteId.UPLOAD_OPEN) == 1


@virtual
async def test_a_log_whose_bytes_the_cloud_refuses_ends_neither_the_connection_nor_the_next_log() -> None:
    scene = Scene()
    await scene.add_log(LOG)
    scene.cloud.status_of[RouteId.UPLOAD_CHUNK] = 400
    async with scene.uplink() as uplink:
        await until(lambda: [end.phase for end in scene.ends] == [UploadPhase.REFUSED])
        assert len(await scene.store.all()) == 1
        del scene.cloud.status_of[RouteId.UPLOAD_CHUNK]
        await scene.add_log(sealed(5_000))
        uplink.log_added()
        await until(lambda: len(scene.ends) == 2)
        assert scene.ends[1].phase is UploadPhase.STORED
        assert [state for state, _ in scene.states] == [CONNECTING, ONLINE]


@virtual
async def test_cl_25_wrong_bytes_at_the_cloud_are_sent_again() -> None:
    scene = Scene()
    async with scene.uplink():
        await scene.add_log(LOG)
        await until(lambda: scene.cloud.seen.count(RouteId.UPLOAD_CHUNK) == 3)
        next(iter(scene.cloud.uploads.values())).data[100] ^= 1
        await until(lambda: bool(scene.ends))
        (upload,) = scene.cloud.uploads.values()
        assert bytes(upload.data) == LOG
        assert scene.cloud.seen.count(RouteId.UPLOAD_FINISH) == 2


@virtual
async def test_cl_29_an_upload_that_was_removed_is_opened_again() -> None:
    scene = Scene()
    async with scene.uplink():
        await scene.add_log(LOG)
        await until(lambda: scene.cloud.seen.count(RouteId.UPLOAD_CHUNK) == 3)
        scene.cloud.uploads.clear()
        await until(lambda: bool(scene.ends))
        (upload,) = scene.cloud.uploads.values()
        assert bytes(upload.data) == LOG


# --- downlink ---------------------------------------------------------------------------------------


@virtual
async def test_cl_32_messages_are_taken_in_order_and_acknowledged() -> None:
    scene = Scene()
    scene.cloud.tell("one")
    async with scene.uplink():
        await until(lambda: scene.taken == ["one"])
        for topic in ("two", "three"):
            scene.cloud.tell(topic)
        await until(lambda: scene.taken == ["one", "two", "three"])
        await until(lambda: not scene.cloud.queue)
        assert scene.outbox.state.downlink_taken == 3
    async with scene.uplink():
        scene.cloud.tell("four")
        await until(lambda: scene.taken == ["one", "two", "three", "four"])


@virtual
async def test_cl_32_a_message_is_acknowledged_only_when_it_is_durable_here() -> None:
    scene = Scene()
    scene.handler_error = StorageError("the disk is full (a test)")
    scene.cloud.tell("one")
    async with scene.uplink():
        await trio.sleep(30)
        assert set(scene.cloud.queue) == {1}
        assert scene.outbox.state.downlink_taken == 0
        scene.handler_error = None
        await until(lambda: scene.taken == ["one"])
        await until(lambda: not scene.cloud.queue)


@virtual
async def test_a_message_that_will_never_be_taken_is_passed_over() -> None:
    scene = Scene()
    scene.handler_error = MalformedError("no such thing (a test)")
    scene.cloud.tell("one")
    async with scene.uplink():
        await until(lambda: scene.refused_messages == [1])
        scene.handler_error = None
        scene.cloud.tell("two")
        await until(lambda: scene.taken == ["two"])
        await until(lambda: not scene.cloud.queue)


@virtual
async def test_cl_33_a_cloud_that_lost_its_count_is_asked_from_the_first() -> None:
    scene = Scene()
    scene.cloud.tell("old")
    scene.cloud.tell("older")
    async with scene.uplink():
        await until(lambda: not scene.cloud.queue)
        scene.cloud.given = 0
        scene.cloud.tell("new")
        scene.cloud.restart()
        await until(lambda: scene.taken == ["old", "older", "new"])
        await until(lambda: not scene.cloud.queue)
        assert scene.outbox.state.downlink_taken == 1


@virtual
async def test_cl_35_a_silent_downlink_is_asked_anew() -> None:
    scene = Scene()
    scene.cloud.is_silent = True
    async with scene.uplink() as uplink:
        await until(lambda: scene.cloud.seen.count(RouteId.DOWNLINK) == 1)
        await trio.sleep(44)
        assert scene.cloud.seen.count(RouteId.DOWNLINK) == 1
        await trio.sleep(3)
        assert scene.cloud.seen.count(RouteId.DOWNLINK) == 2
        assert uplink.state is ONLINE
        scene.cloud.fault_of = lambda _: Fault.TIMEOUT
        await until(lambda: uplink.state is WAITING, 100)


@virtual
async def test_keepalives_keep_a_quiet_connection() -> None:
    scene = Scene()
    async with scene.uplink():
        await trio.sleep(1_000)
        assert scene.cloud.seen.count(RouteId.DOWNLINK) == 1


# --- relays -----------------------------------------------------------------------------------------


@virtual
async def test_cl_40_relay_messages_go_both_ways_in_order() -> None:
    scene = Scene()
    arrived: list[object] = []
    async with scene.uplink():
        await until(lambda: bool(scene.hops))
        (hop,) = scene.hops
        hop.on_message = arrived.append
        assert (hop.role, hop.key_id, hop.is_up) == (Role.CLOUD, scene.credentials.authority_id, True)
        sent = [RelayDatagram(7, by_opener=False, data=b"%d" % number) for number in range(200)]
        for each in sent:
            hop.send(each)
        down: list[RelayMessage] = [RelayDatagram(7, by_opener=True, data=b"down"), RelayClosed(7, by_opener=True)]
        await until(lambda: bool(scene.cloud.streams))
        scene.cloud.relay(*down)
        await until(lambda: len(scene.cloud.relayed) == 200 and len(arrived) == 2)
        assert scene.cloud.relayed == sent
        assert arrived == down
        assert scene.cloud.seen.count(RouteId.RELAY) == 2
    assert not hop.is_up
    hop.send(sent[0])  # nothing happens


@virtual
async def test_cl_41_a_slow_cloud_gets_the_newest_relay_messages() -> None:
    scene = Scene()
    async with scene.uplink():
        await until(lambda: bool(scene.hops))
        (hop,) = scene.hops
        sent = [RelayDatagram(7, by_opener=False, data=b"%d" % number) for number in range(1_000)]
        for each in sent:
            hop.send(each)
        await until(lambda: len(scene.cloud.relayed) == 256)
        assert scene.cloud.relayed == sent[-256:]
        assert hop.lost == 744


@virtual
async def test_what_cannot_be_relayed_is_lost_and_the_connection_stays() -> None:
    scene = Scene()
    async with scene.uplink() as uplink:
        await until(lambda: bool(scene.hops))
        (hop,) = scene.hops
        hop.send(RelayDatagram(7, by_opener=False, data=bytes(3_000)))
        await until(lambda: hop.lost == 1)
        scene.cloud.status_of[RouteId.RELAY] = 503
        hop.send(RelayClosed(7, by_opener=False))
        await until(lambda: hop.lost == 2)
        del scene.cloud.status_of[RouteId.RELAY]
        hop.send(RelayClosed(8, by_opener=False))
        await until(lambda: scene.cloud.relayed == [RelayClosed(8, by_opener=False)])
        assert uplink.state is ONLINE


@virtual
async def test_each_connection_is_a_hop_of_its_own() -> None:
    scene = Scene()
    async with scene.uplink():
        await until(lambda: len(scene.hops) == 1)
        scene.cloud.faults = [Fault.DOWN]
        scene.cloud.restart()
        await until(lambda: len(scene.hops) == 2)
        assert [hop.is_up for hop in scene.hops] == [False, True]


def test_the_fake_is_the_device_of_the_paths() -> None:
    assert len(DEVICE) == 32
