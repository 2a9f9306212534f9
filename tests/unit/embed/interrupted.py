"""A program that is interrupted by real signals at one moment after the other; each must end in order.

Run by test_interrupts.py with ``-X dev -W error``. The trio thread sends the signal when the moment has come, so that
nothing waits for a clock; Python gives it to the main thread, which waits in the portal then.
"""

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import trio

from nodes import Drone, Endpoint, RemoteController
from nodes.embed import Bridge, Portal, PortalTask, open_bridge, open_portal
from tests.unit.embed.things import Log, stores


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


async def wait(log: Log) -> None:
    """Wait for ever; the signal comes when we do."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(log.wait)
        while not log.lines:
            await trio.lowlevel.checkpoint()
        interrupt()


class Slow:
    """A context that is interrupted while it is entered, or left."""

    def __init__(self, log: Log, when: str) -> None:
        self.log, self.when = log, when

    async def __aenter__(self) -> None:
        if self.when == "enter":
            await wait(self.log)

    async def __aexit__(self, *_: object) -> None:
        if self.when == "leave":
            await wait(self.log)


def in_a_call(portal: Portal, log: Log) -> None:
    with portal.enter(log.manager()):
        portal.call(wait, log)


def in_an_iteration(portal: Portal, log: Log) -> None:
    send, receive = trio.open_memory_channel[int](0)
    portal.start(wait, log)
    with portal.enter(send):
        list(portal.each(receive))


def in_entering(portal: Portal, log: Log) -> None:
    with portal.enter(Slow(log, "enter")):
        log.lines.append("entered")


def in_leaving(portal: Portal, log: Log) -> None:
    with portal.enter(Slow(log, "leave")):
        pass


def in_waiting_for_a_task(portal: Portal, log: Log) -> None:
    with portal.start(wait, log) as task:
        task.wait()


def at_the_end(portal: Portal, log: Log) -> None:
    portal.enter(Slow(log, "leave")).__enter__()


def in_the_users_own_code(portal: Portal, log: Log) -> None:
    portal.start(log.wait)
    task: PortalTask[None] = portal.start(wait, log)
    while not task.is_done:
        threading.Event().wait(0.01)


def twice(portal: Portal, log: Log) -> None:
    async def stubborn() -> None:
        interrupt()
        try:
            await trio.sleep_forever()
        finally:  # whoever called waits again by now
            interrupt()
            with trio.CancelScope(shield=True):
                while "did not wait" not in log.lines:  # noqa: ASYNC110  # another thread says it
                    await trio.sleep(0.001)
            log.lines.append("end stubborn")

    try:
        portal.call(stubborn)
    except KeyboardInterrupt:
        log.lines.append("did not wait")
        raise


async def hear(drone: Drone, log: Log) -> None:
    """Take a command and leave it unanswered; then hear why the link ends."""
    link = await drone.next_link()
    await link.receive()
    interrupt()
    down = await link.wait_down()
    log.lines.append(f"the peer said {'nothing' if down.code is None else down.code.name}")


def with_nodes(portal: Portal, log: Log) -> None:
    with portal.enter(Drone(stores())) as drone, portal.start(hear, drone, log) as hearing:
        try:
            with portal.enter(RemoteController(stores())) as rc:
                where = portal.call(drone.listen, Endpoint("127.0.0.1", 0))
                peer = portal.call(rc.pair, portal.call(drone.open_pairing), where)
                link = portal.call(rc.connect, peer.key_id, where)
                portal.call(link.request, b"will you answer?")
        finally:
            hearing.wait()


async def in_asyncio(bridge: Bridge, log: Log) -> None:
    async with bridge.enter(log.manager()):
        await bridge.call(wait, log)


def run_sync(scenario: Callable[[Portal, Log], None]) -> None:
    log = Log()
    try:
        with open_portal() as portal:
            scenario(portal, log)
    except KeyboardInterrupt:
        log.lines.append("interrupted")
    report(scenario.__name__, log)


def run_asyncio() -> None:
    log = Log()

    async def main() -> None:
        async with open_bridge() as bridge:
            await in_asyncio(bridge, log)

    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        log.lines.append("interrupted")
    report("in_asyncio", log)


def sockets() -> int:
    count = 0
    for each in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            count += str(each.readlink()).startswith("socket:")
    return count


def report(name: str, log: Log) -> None:
    left = [each.name for each in threading.enumerate()[1:]]
    sys.stdout.write(f"{name}: {', '.join(log.lines)}; left: {left}, {sockets()} sockets\n")


if __name__ == "__main__":
    for each in (
        in_a_call,
        in_an_iteration,
        in_entering,
        in_leaving,
        in_waiting_for_a_task,
        at_the_end,
        in_the_users_own_code,
        twice,
        with_nodes,
    ):
        run_sync(each)
    run_asyncio()
    sys.exit(0)
