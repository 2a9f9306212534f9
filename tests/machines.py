"""The link's machines back to back: no socket, no clock, no randomness but seeds.

Theory of operation. A *device* is what survives a restart (:mod:`tests.helpers.devices`). A *node* drives one machine
for a device and answers what the core asks (:mod:`tests.helpers.nodes`). A *world* owns the time and carries what the
nodes send (:mod:`tests.helpers.worlds`). A *scene* is two nodes in a world.

Start with :func:`datagram_link` or :func:`stream_link`; for a pairing, :func:`datagram_scene` and :func:`pair_over`.
"""

import hashlib
from dataclasses import dataclass, replace

from protocols.crypto.suites import DEFAULT_SUITE, Suite
from protocols.events import (
    CommandReceived,
    OfferBulk,
    SendCommand,
)
from protocols.link.config import LinkConfig
from protocols.link.connection import Connection
from protocols.pairing import LinkingCode, PairingWindow
from specs.registry import ChannelId
from tests.helpers.devices import DRONE, EVE, RC, Device, Drbg, SeededKeySource, acquaint, config, devices
from tests.helpers.nodes import START_S, Node, make_client, make_listener, make_stream_server
from tests.helpers.worlds import CALM, Cut, Datagram, DatagramWorld, StreamWorld, Tap, Weather, World, bytewise, whole

__all__ = [
    "CALM", "DRONE", "EVE", "RC", "START_S", "Cut", "Datagram", "DatagramWorld", "Device", "Drbg", "Node", "Scene",
    "SeededKeySource", "StreamScene", "StreamWorld", "Tap", "Weather", "World", "acquaint", "bytewise", "commands",
    "config", "connect", "datagram_link", "datagram_scene", "devices", "make_client", "make_listener",
    "make_stream_server", "offer", "open_pairing", "pair_over", "pair_over_stream",
    "say", "stream_link", "stream_scene", "talk", "whole",
]  # fmt: skip


@dataclass
class Scene:
    """Two nodes and what is between them."""

    world: DatagramWorld
    rc: Node
    drone: Node
    settings: LinkConfig


@dataclass
class StreamScene:
    """Two nodes on a stream."""

    world: StreamWorld
    rc: Node
    drone: Node
    settings: LinkConfig


def datagram_scene(
    suite: Suite = DEFAULT_SUITE,
    *,
    seed: str = "one",
    rc: Device | None = None,
    drone: Device | None = None,
    settings: LinkConfig | None = None,
    drone_settings: LinkConfig | None = None,
    weather: Weather = CALM,
    dice: int = 0,
) -> Scene:
    """A client and a listener of paired devices; nothing has been started."""
    if rc is None or drone is None:
        rc, drone = devices(seed, dh=suite.dh)
    settings = settings or config(suite)
    client, listener = make_client(rc, drone, settings), make_listener(drone, drone_settings or settings)
    return Scene(DatagramWorld(client, listener, weather=weather, seed=dice), client, listener, settings)


def datagram_link(suite: Suite = DEFAULT_SUITE, **scene: object) -> Scene:
    """A link that is up on both sides, over datagrams."""
    made = datagram_scene(suite, **scene)  # type: ignore[arg-type]  # passed on as it is
    connect(made)
    return made


def stream_scene(
    suite: Suite = DEFAULT_SUITE,
    *,
    seed: str = "one",
    settings: LinkConfig | None = None,
    cut: Cut = whole,
    rc: Device | None = None,
    drone: Device | None = None,
) -> StreamScene:
    """A client and a server of paired devices on a stream; nothing has been started."""
    if rc is None or drone is None:
        rc, drone = devices(seed, dh=suite.dh)
    settings = settings or config(suite)
    client, server = make_client(rc, drone, settings, to=None), make_stream_server(drone, settings)
    return StreamScene(StreamWorld(client, server, cut=cut), client, server, settings)


def stream_link(suite: Suite = DEFAULT_SUITE, **scene: object) -> StreamScene:
    """A link that is up on both sides, over a stream."""
    made = stream_scene(suite, **scene)  # type: ignore[arg-type]  # passed on as it is
    connect(made)
    return made


def connect(scene: Scene | StreamScene, limit_s: float = 15.0) -> None:
    """Start the client and wait until both ends are up."""
    scene.rc.client.start(scene.world.now)
    links = len(scene.drone.links)
    scene.world.run_until(lambda: scene.rc.links and len(scene.drone.links) > links, limit_s)
    scene.world.settle()


def open_pairing(drone: Node, now: float, seed: str = "code") -> LinkingCode:
    """Show a linking code at the drone."""
    code = LinkingCode.generate(Drbg(seed))
    drone.server.open_pairing(PairingWindow(code, now))
    return code


def pair_over(scene: Scene, code: LinkingCode, *, limit_s: float = 120.0, settings: LinkConfig | None = None) -> Node:
    """Run a pairing of the scene's devices by ``code`` to its end; return the node of the RC that ran it."""
    node = make_client(
        scene.rc.device, scene.drone.device, settings or scene.settings, code=code, at=replace(RC, port=77)
    )
    scene.world.nodes.append(node)
    node.client.start(scene.world.now)
    scene.world.run_until(node.downs, limit_s)
    scene.world.settle()
    scene.world.nodes.remove(node)
    return node


def pair_over_stream(rc: Device, drone: Device, settings: LinkConfig, *, cut: Cut = whole) -> StreamScene:
    """Run a pairing over a stream to its end."""
    server = make_stream_server(drone, settings)
    code = open_pairing(server, START_S)
    client = make_client(rc, drone, settings, to=None, code=code)
    world = StreamWorld(client, server, cut=cut)
    client.client.start(world.now)
    world.run_until(client.downs, 120.0)
    world.settle()
    return StreamScene(world, client, server, settings)


# --- traffic ------------------------------------------------------------------------------------


def say(link: Connection, data: bytes, now: float) -> int:
    """Send a command."""
    return link.send(SendCommand(ChannelId.COMMAND, data), now)


def offer(link: Connection, thing: bytes, now: float, name: str = "thing") -> int:
    """Offer an object."""
    return link.send(OfferBulk(ChannelId.LOG, name, thing, hashlib.sha256(thing).digest()), now)


def commands(node: Node) -> list[bytes]:
    """Return what commands a node received, in order."""
    return [message.data for message in node.received(CommandReceived)]


def talk(scene: Scene | StreamScene, text: bytes = b"hello") -> None:
    """Send a command each way and see it arrive, once."""
    now = scene.world.now
    before = len(commands(scene.rc)), len(commands(scene.drone))
    say(scene.rc.link, b"up " + text, now)
    say(scene.drone.link, b"down " + text, now)
    scene.world.run_until(
        lambda: (len(commands(scene.rc)), len(commands(scene.drone))) == (before[0] + 1, before[1] + 1)
    )
    assert commands(scene.drone)[-1] == b"up " + text
    assert commands(scene.rc)[-1] == b"down " + text
    scene.world.settle()
