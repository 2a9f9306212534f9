"""Where flights come from and how they travel: the built-in model, recorded logs, the container, the pace."""

from nodes.flight.container import decode_flight_untrusted, digest_flight, encode_flight, frame_bytes_of
from nodes.flight.model import FlightModel
from nodes.flight.pace import Speed, pace
from nodes.flight.phases import Command, Phase
from nodes.flight.replay import Replay, load_replay, read_replay
from nodes.flight.source import FlightDigest, FlightFrame, FlightSource
from nodes.flight.state import Attitude, FlightPlan, FlightState, Sticks, Vector
from nodes.flight.telemetry import ModelFlight, Telemetry
from nodes.flight.tlog import tlog_record, tlog_records

__all__ = [
    "Attitude",
    "Command",
    "FlightDigest",
    "FlightFrame",
    "FlightModel",
    "FlightPlan",
    "FlightSource",
    "FlightState",
    "ModelFlight",
    "Phase",
    "Replay",
    "Speed",
    "Sticks",
    "Telemetry",
    "Vector",
    "decode_flight_untrusted",
    "digest_flight",
    "encode_flight",
    "frame_bytes_of",
    "load_replay",
    "pace",
    "read_replay",
    "tlog_record",
    "tlog_records",
]
