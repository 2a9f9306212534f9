"""Downlinks: durable messages, one stream per device, relay hops (specs/9-cloudlink.md, CL-30 to CL-42)."""

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Final, cast

import pytest
import trio
import trio.testing

from nodes.cloud.downlink import DownlinkStream
from nodes.cloud.events import DownlinkChanged
from nodes.cloud.hop import CloudHop
from nodes.cloud.limits import CloudLimits
from nodes.https import Response
from nodes.ports import RelayHop
from protocols.cloud_api import RouteId
from protocols.cloudlink import DownlinkItem, DownlinkReader, encode, encode_relay
from protocols.errors import QueueFullError, StorageError, UsageError
from protocols.events import RelayDatagram, RelayMessage, RelayOpen, RelayOpened
from protocols.maps import unpack_map_untrusted
from specs.cloudlink import MAX_RELAY_FRAMES, DownlinkAck
from specs.registry import LinkType
from tests.unit.cloud.kit import KINDS, ONE, OTHER, CloudKit, cloud_of

OPEN: Final = RelayOpen(1, bytes(16), LinkType.REMOTE_CLOUD)


@pytest.fixture(params=KINDS)
async def cloud(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncGenerator[CloudKit]:
    async with cloud_of(cast("str", request.param), tmp_path) as kit:
        yield kit


class Listening:
    """A device that reads its downlink."""

    def __init__(self, response: Response) -> None:
        assert response.status == 200
        assert isinstance(response.body, DownlinkStream)
        self.stream = response.body
        self._reader = DownlinkReader()
        self._items: list[DownlinkItem] = []

    async def next(self) -> DownlinkItem:
        while not self._items:
            self._items = self._reader.receive_untrusted(await anext(self.stream))
        return self._items.pop(0)

    async def message(self) -> tuple[int, int]:
        """Number and content of the next message."""
        item = await self.next()
        assert item is not None
        sequence, message = cast("tuple[int, object]", item)
        return sequence, cast("int", unpack_map_untrusted(getattr(message, "body", b""))["n"])

    async def is_over(self) -> bool:
        try:
            await anext(self.stream)
        except StopAsyncIteration:
            return True
        return False


async def listen(cloud: CloudKit, after: int = 0, device: str = ONE) -> Listening:
    listening = Listening(await cloud.ask(RouteId.DOWNLINK, device=device, parts={"after": after}))
    assert await listening.next() is None  # it begins with a keepalive
    return listening


async def send(cloud: CloudKit, *numbers: int, device: str = ONE) -> list[int]:
    return [await cloud.api.downlinks.send(device, "topic", {"n": number}) for number in numbers]


async def acknowledge(cloud: CloudKit, sequence: int) -> int:
    return (await cloud.ask(RouteId.DOWNLINK_ACK, encode(DownlinkAck(sequence)))).status


# --- messages -------------------------------------------------------------------------------------


async def test_cl_30_cl_31_messages_come_in_order_those_that_waited_first(cloud: CloudKit) -> None:
    assert await send(cloud, 10, 20) == [1, 2]
    listening = await listen(cloud)
    assert [await listening.message() for _ in range(2)] == [(1, 10), (2, 20)]
    assert await send(cloud, 30) == [3]
    assert await listening.message() == (3, 30)
    assert await send(cloud, *range(40)) == list(range(4, 44))
    assert [await listening.message() for _ in range(40)] == [(4 + each, each) for each in range(40)]


async def test_cl_31_what_comes_while_the_device_waits_is_sent_at_once(cloud: CloudKit) -> None:
    listening = await listen(cloud)
    async with trio.open_nursery() as nursery:

        async def expect() -> None:
            assert await listening.message() == (1, 7)

        nursery.start_soon(expect)
        await trio.testing.wait_all_tasks_blocked()
        await send(cloud, 7)


async def test_cl_31_cl_32_messages_stay_until_they_are_acknowledged(cloud: CloudKit) -> None:
    await send(cloud, 10, 20, 30)
    assert await (await listen(cloud)).message() == (1, 10)
    assert await (await listen(cloud, after=1)).message() == (2, 20)
    assert await acknowledge(cloud, 2) == 200
    assert await acknowledge(cloud, 1) == 200
    assert await (await listen(cloud)).message() == (3, 30)
    assert await acknowledge(cloud, 3) == 200
    assert (await cloud.records.queue_state(ONE)).messages == 0
    assert await send(cloud, 40) == [4]
    assert await (await listen(cloud, after=3)).message() == (4, 40)


async def test_cl_32_messages_outlive_the_cloud(tmp_path: Path) -> None:
    async with cloud_of("files", tmp_path) as cloud:
        await send(cloud, 10, 20)
        await acknowledge(cloud, 1)
    async with cloud_of("files", tmp_path) as cloud:
        assert await (await listen(cloud, after=1)).message() == (2, 20)
        assert await send(cloud, 30) == [3]


async def test_messages_of_another_device_are_not_seen(cloud: CloudKit) -> None:
    await send(cloud, 10, device=OTHER)
    await send(cloud, 20)
    assert await (await listen(cloud)).message() == (1, 20)


async def test_cl_33_a_number_that_was_never_given(cloud: CloudKit) -> None:
    await send(cloud, 10)
    assert (await cloud.ask(RouteId.DOWNLINK, parts={"after": 2})).status == 409
    assert await acknowledge(cloud, 2) == 409
    assert await (await listen(cloud)).message() == (1, 10)


async def test_cl_34_a_newer_downlink_ends_the_older(cloud: CloudKit) -> None:
    older = await listen(cloud)
    other = await listen(cloud, device=OTHER)
    async with trio.open_nursery() as nursery:

        async def expect() -> None:
            assert await older.is_over()

        nursery.start_soon(expect)
        await trio.testing.wait_all_tasks_blocked()
        newer = await listen(cloud)
    await send(cloud, 10)
    assert await newer.message() == (1, 10)
    await send(cloud, 20, device=OTHER)
    assert await other.message() == (1, 20)


async def test_who_has_a_downlink_is_known(cloud: CloudKit) -> None:
    downlinks = cloud.api.downlinks
    assert not downlinks.is_up(ONE)
    first = await listen(cloud)
    second = await listen(cloud)
    assert downlinks.is_up(ONE)
    await first.stream.aclose()
    assert downlinks.is_up(ONE)
    await second.stream.aclose()
    await second.stream.aclose()
    assert not downlinks.is_up(ONE)
    assert await second.is_over()
    changes = [change.is_up for change in cloud.told(DownlinkChanged)]
    assert (changes[0], changes[-1]) == (True, False)
    downlinks.end(ONE)
    assert [change.is_up for change in cloud.told(DownlinkChanged)] == changes


async def test_the_cloud_ends_all_downlinks(cloud: CloudKit) -> None:
    both = [await listen(cloud, device=device) for device in (ONE, OTHER)]
    cloud.api.downlinks.end_all()
    assert [await each.is_over() for each in both] == [True, True]


async def test_a_cloud_that_ends_waits_until_its_last_words_are_taken(tmp_path: Path, autojump_clock: object) -> None:
    assert autojump_clock
    async with cloud_of("memory", tmp_path) as cloud:
        listening, silent = await listen(cloud), await listen(cloud, device=OTHER)
        cloud.hops[0].send(OPEN)
        cloud.api.downlinks.end_all()
        with trio.move_on_after(1.0) as waited:
            await cloud.api.downlinks.gone()
        assert waited.cancelled_caught
        assert await listening.next() == (OPEN,)
        assert await listening.is_over()
        with trio.move_on_after(1.0) as waited:
            await cloud.api.downlinks.gone()
        assert waited.cancelled_caught  # the other has not read to its end
        await silent.stream.aclose()
        with trio.fail_after(1.0):
            await cloud.api.downlinks.gone()


async def test_cl_35_a_silent_downlink_says_that_it_is_there(tmp_path: Path, autojump_clock: object) -> None:
    assert autojump_clock
    async with cloud_of("memory", tmp_path) as cloud:
        listening = await listen(cloud)
        for _ in range(3):
            start_s = trio.current_time()
            assert await listening.next() is None
            assert trio.current_time() - start_s == pytest.approx(15.0)


async def test_cl_37_a_revocation_ends_the_downlink(tmp_path: Path, autojump_clock: object) -> None:
    assert autojump_clock
    async with cloud_of("memory", tmp_path) as cloud:
        listening, other = await listen(cloud), await listen(cloud, device=OTHER)
        await send(cloud, 10)
        assert await listening.message() == (1, 10)
        cloud.authority.revoked.add(ONE)
        start_s = trio.current_time()
        assert await listening.is_over()
        assert trio.current_time() - start_s <= 15.0
        assert not cloud.hops[0].is_up
        assert await other.next() is None


async def test_cl_37_no_record_goes_to_a_device_that_was_revoked(cloud: CloudKit) -> None:
    listening = await listen(cloud)
    cloud.authority.revoked.add(ONE)
    await send(cloud, 10)
    cloud.hops[0].send(OPEN)
    assert await listening.is_over()
    assert (await cloud.records.queue_state(ONE)).messages == 1


async def test_cl_36_a_full_queue_refuses_and_drops_nothing(tmp_path: Path) -> None:
    async with cloud_of("memory", tmp_path, CloudLimits(queue_messages=2)) as cloud:
        await send(cloud, 10, 20)
        with pytest.raises(QueueFullError):
            await send(cloud, 30)
        assert await send(cloud, 10, device=OTHER) == [1]
        await acknowledge(cloud, 1)
        assert await send(cloud, 40) == [3]
        listening = await listen(cloud)
        assert [await listening.message() for _ in range(2)] == [(2, 20), (3, 40)]


async def test_cl_36_a_queue_is_bounded_in_bytes(tmp_path: Path) -> None:
    async with cloud_of("memory", tmp_path, CloudLimits(queue_bytes=200)) as cloud:
        await cloud.api.downlinks.send(ONE, "topic", {"a": bytes(100)})
        with pytest.raises(QueueFullError):
            await cloud.api.downlinks.send(ONE, "topic", {"a": bytes(100)})


async def test_a_message_that_fits_no_frame_is_not_queued(cloud: CloudKit) -> None:
    for topic, body in (("", {}), ("x" * 65, {}), ("topic", {"a": bytes(60_000)})):
        with pytest.raises(UsageError):
            await cloud.api.downlinks.send(ONE, topic, body)
    assert (await cloud.records.queue_state(ONE)).last == 0


async def test_messages_sent_at_once_all_have_a_number_of_their_own(cloud: CloudKit) -> None:
    numbers: list[int] = []

    async def one(number: int) -> None:
        numbers.extend(await send(cloud, number))

    async with trio.open_nursery() as nursery:
        for number in range(20):
            nursery.start_soon(one, number)
    assert sorted(numbers) == list(range(1, 21))


async def test_a_database_that_fails_ends_the_downlink(cloud: CloudKit, monkeypatch: pytest.MonkeyPatch) -> None:
    listening = await listen(cloud)
    await send(cloud, 10)

    async def failing(*_args: object) -> None:
        await trio.lowlevel.checkpoint()
        raise StorageError("the disk failed")

    monkeypatch.setattr(cloud.records, "queued", failing)
    assert await listening.is_over()
    monkeypatch.undo()
    assert await (await listen(cloud)).message() == (1, 10)


# --- relay ----------------------------------------------------------------------------------------


def fits(hop: CloudHop) -> RelayHop:
    """Checked with the types."""
    return hop


async def test_cl_42_a_downlink_is_a_hop(cloud: CloudKit) -> None:
    listening = await listen(cloud)
    (hop,) = cloud.hops
    assert (hop.key_id, hop.role, hop.is_up) == (bytes.fromhex(ONE), None, True)  # a certificate proves no role
    hop.send(OPEN)
    hop.send(RelayDatagram(1, by_opener=True, data=b"x"))
    assert await listening.next() == (OPEN, RelayDatagram(1, by_opener=True, data=b"x"))
    received: list[RelayMessage] = []
    hop.on_message = received.append
    response = await cloud.ask(
        RouteId.RELAY, encode_relay([RelayOpened(1), RelayDatagram(1, by_opener=False, data=b"y")])
    )
    assert (response.status, response.body) == (200, b"")
    assert received == [RelayOpened(1), RelayDatagram(1, by_opener=False, data=b"y")]
    await cloud.ask(RouteId.RELAY, encode_relay([RelayOpened(2)]), device=OTHER)
    assert len(received) == 2


async def test_a_new_downlink_is_a_new_hop(cloud: CloudKit) -> None:
    await listen(cloud)
    listening = await listen(cloud)
    older, newer = cloud.hops
    assert (older.is_up, newer.is_up) == (False, True)
    received: list[RelayMessage] = []
    newer.on_message = received.append
    await cloud.ask(RouteId.RELAY, encode_relay([RelayOpened(1)]))
    assert received == [RelayOpened(1)]
    older.send(OPEN)
    newer.send(RelayOpened(5))
    assert await listening.next() == (RelayOpened(5),)


async def test_cl_41_relay_messages_without_a_downlink_are_lost(cloud: CloudKit) -> None:
    assert (await cloud.ask(RouteId.RELAY, encode_relay([RelayOpened(1)]))).status == 200
    listening = await listen(cloud)
    assert (await cloud.ask(RouteId.RELAY, encode_relay([RelayOpened(1)]))).status == 200  # nobody listens to the hop
    hop = cloud.hops[0]
    hop.send(OPEN)
    await listening.stream.aclose()
    hop.send(OPEN)
    assert not hop.is_up
    await send(cloud, 10)
    assert await (await listen(cloud)).message() == (1, 10)


async def test_cl_41_the_oldest_go_where_there_is_no_room(tmp_path: Path) -> None:
    async with cloud_of("memory", tmp_path, CloudLimits(relay_messages=MAX_RELAY_FRAMES + 2)) as cloud:
        listening = await listen(cloud)
        for number in range(MAX_RELAY_FRAMES + 12):
            cloud.hops[0].send(RelayOpened(number))
        first, second = await listening.next(), await listening.next()
        assert first == tuple(RelayOpened(number) for number in range(10, MAX_RELAY_FRAMES + 10))
        assert second == tuple(RelayOpened(number) for number in range(MAX_RELAY_FRAMES + 10, MAX_RELAY_FRAMES + 12))


async def test_what_cannot_be_encoded_is_lost_alone(cloud: CloudKit) -> None:
    listening = await listen(cloud)
    hop = cloud.hops[0]
    for message in (
        RelayDatagram(1, by_opener=True, data=bytes(1_453)),
        RelayDatagram(1, by_opener=True, data=b""),
        RelayOpened(-1),
    ):
        hop.send(message)
    hop.send(RelayOpened(1))
    assert await listening.next() == (RelayOpened(1),)


async def test_relay_goes_before_messages(cloud: CloudKit) -> None:
    listening = await listen(cloud)
    await send(cloud, 10)
    cloud.hops[0].send(OPEN)
    assert await listening.next() == (OPEN,)
    assert await listening.message() == (1, 10)


async def test_cl_34_a_downlink_that_ends_with_its_task_is_over(cloud: CloudKit) -> None:
    listening = await listen(cloud)
    with trio.CancelScope() as scope:
        scope.cancel()
        await listening.stream.aclose()
    assert scope.cancelled_caught
    assert not cloud.api.downlinks.is_up(ONE)
    assert not cloud.hops[-1].is_up
