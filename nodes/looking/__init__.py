"""Looking at a running node: what it has told, over a local control socket and as metrics (docs/operate.md)."""

import ipaddress
import logging
import os
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Final, TypeVarTuple

import trio

from nodes.config import Config
from nodes.looking.book import StatusBook
from nodes.looking.control import Control
from nodes.looking.place import ControlPlace
from nodes.looking.status import NodeStatus
from nodes.packages import release
from nodes.stations.notes import Line, Note, Say
from nodes.stores.statedir import StateDir
from protocols.crypto.dh import DH_FUNCTIONS
from protocols.crypto.fingerprint import fingerprint_text, key_id_of
from protocols.errors import LocalError

__all__ = ["open_look"]

Ts = TypeVarTuple("Ts")
_log: Final = logging.getLogger(__name__)


@asynccontextmanager
async def open_look(config: Config, say: Say) -> AsyncGenerator[Say]:
    """Open what others look through; the station says everything to what this yields.

    ConfigError when metrics cannot be served where they should be. Without its control socket a node works.
    """
    book = StatusBook()
    book.enter(
        config.name, config.node.role.name.lower(), os.getpid(), await _own_ids(config.node.state_dir), release()
    )
    control = Control(lambda: book.status(config.name))

    def looking(note: Note) -> None:
        say(note)
        try:
            book.take(note)
            control.tell(note)
        except Exception:  # noqa: BLE001  # the border: who looks never ends what flies
            _log.exception("a note could not be shown")

    with ExitStack() as stack:
        listener = await _listen_for_metrics(config, looking)
        if listener is not None:
            stack.callback(listener.socket.close)
        place = _open_place(config, stack, looking)
        async with trio.open_nursery() as nursery:
            if place is not None:
                nursery.start_soon(_guarded, control.run, place.socket)
            if listener is not None:
                nursery.start_soon(_guarded, _serve_metrics, listener, lambda: book.status(config.name))
            error = None
            try:
                yield looking
            except Exception as raised:  # noqa: BLE001  # as it is, and not in a group of the nursery's
                error = raised
            nursery.cancel_scope.cancel()
        if error is not None:
            raise error


def _open_place(config: Config, stack: ExitStack, say: Say) -> ControlPlace | None:
    """Open the control socket, if it is wanted and can be; a folder that is not there the station tells of."""
    if not config.look.control or not config.node.state_dir.is_dir():
        return None
    try:
        return stack.enter_context(ControlPlace(config.node.state_dir))
    except LocalError as error:
        say(Line(config.name, f"nobody can look: {error}"))
        return None


async def _listen_for_metrics(config: Config, say: Say) -> trio.SocketListener | None:
    """Open the port for metrics, if they are wanted; ConfigError."""
    if config.look.metrics is None:
        return None
    from nodes.https.sockets import listen, where

    listener = await listen(config.look.metrics)
    here = where(listener)
    whom = "" if ipaddress.ip_address(here.host).is_loopback else ", for everybody who can reach it"
    say(Line(config.name, f"metrics at http://{here}/metrics{whom}"))
    return listener


async def _serve_metrics(listener: trio.SocketListener, status: Callable[[], NodeStatus]) -> None:
    """Serve metrics for ever; what that needs takes long to import, and most nodes do without."""
    from nodes.looking.metrics import Exposition
    from nodes.looking.metrics_server import MetricsServer

    await MetricsServer(Exposition(status).text).run(listener)


async def _guarded(serve: Callable[[*Ts], Awaitable[None]], *args: *Ts) -> None:
    """Serve for ever; when that ends, nobody looks any more, and the node flies on."""
    try:
        await serve(*args)
    except* Exception:  # noqa: BLE001  # the border: who looks never ends what flies
        _log.exception("nobody can look at the node any more")


async def _own_ids(folder: Path) -> tuple[str, ...]:
    """Return our own fingerprints; none when the folder cannot be used, which the station tells of."""

    def read() -> tuple[str, ...]:
        with StateDir.open(folder, read_only=True) as state:
            keys = [state.key_files.load(dh) for dh in DH_FUNCTIONS if state.key_files.exists(dh)]
        return tuple(fingerprint_text(key_id_of(key.dh, key.public)) for key in keys)

    try:
        return await trio.to_thread.run_sync(read)
    except LocalError:
        return ()
