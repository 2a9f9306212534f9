"""``aerolink demo``."""

import json
import sys
from functools import partial
from pathlib import Path

import click

from nodes.cli_options import FiniteRange, SuiteName, common_options, log_level


@click.command(epilog="Example: aerolink demo --replay flight.tlog --speed max --json")
@click.option(
    "--replay",
    type=click.Path(path_type=Path, readable=False),
    help="Telemetry log (.tlog) to play instead of the model.",
)
@click.option(
    "--suite",
    type=SuiteName(),
    metavar="NAME",
    help="Cryptographic suite: P256+MLKEM768_AESGCM_SHA256 (the default), 25519+MLKEM768_ChaChaPoly_BLAKE2s, "
    "P256_AESGCM_SHA256 or 25519_ChaChaPoly_BLAKE2s; whole Noise names do as well.",
)
@click.option("--carrier", type=click.Choice(["udp", "tcp"], case_sensitive=False), default="udp", show_default=True)
@click.option(
    "--speed",
    type=click.Choice(["real", "max"], case_sensitive=False),
    default="real",
    show_default=True,
    help="real: fly and record, then hand the flight over. max: hand a whole flight over at once.",
)
@click.option("--two", is_flag=True, help="Only drone and remote controller; the flight ends at the latter.")
@click.option("--processes", is_flag=True, help="Run each node in a process of its own.")
@click.option("--seconds", type=FiniteRange(0.1, 86_400), help="How long to play [default: 20 in real speed, else 1].")
@click.option("--port", type=click.IntRange(0, 65_535), default=0, help="Port of the drone; 0: any that is free.")
@common_options
def demo(
    replay: Path | None,
    suite: str | None,
    carrier: str,
    speed: str,
    two: bool,  # click's way
    processes: bool,  # click's way
    seconds: float | None,
    port: int,
    as_json: bool,
) -> int:
    """Let a flight go from the drone over remote controller and mobile to the cloud.

    All four run on this machine, over real sockets on the loopback interface, with keys made for the occasion. The
    pilot steers and commands, hands the right to fly to the mobile and takes it back; telemetry, MAVLink and video come
    down; the recorded flight is sealed for the cloud, which verifies, unseals and compares it. --carrier is that of
    drone and remote controller. Exit code 0: everything arrived as it was sent.
    """
    from nodes.cli_async import run_async
    from nodes.demo.options import DemoOptions
    from nodes.demo.run import run_demo
    from nodes.demo.view import open_view

    level = log_level("error")
    given = {"suite": suite, "carrier": carrier, "speed": speed, "seconds": seconds, "port": port}
    given |= {"two": two, "log_level": level}
    options = DemoOptions.from_command(given | {"replay": None if replay is None else str(replay)})
    with open_view(options, as_json=as_json, logging_much=level in {"debug", "info"}) as view:
        report = run_async(partial(run_demo, options, view.take, processes=processes))
    view.conclude(report)
    if as_json:
        sys.stdout.write(json.dumps(report.as_dict()) + "\n")
    return 0 if report.ok else 1
