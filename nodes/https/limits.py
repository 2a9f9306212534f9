"""What a connection may cost, and how long it may take (specs/http-front.md, HF-20 to HF-35)."""

from dataclasses import dataclass, field

from protocols.http1.limits import MessageLimits


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """Of a server. The defaults suit a cloud with some hundred devices."""

    message: MessageLimits = field(default_factory=MessageLimits)
    """Of a request: head and body."""
    connections: int = 1_024
    """At one time, in all."""
    connections_per_source: int = 128
    """At one time, of one IPv4 address or one IPv6 /64."""
    handshakes: int = 256
    """Connections at one time whose TLS handshake is not done."""
    new_per_s: float = 200.0
    """Connections that may begin, in all, in the long run; without those of sources that have shown a certificate."""
    new_at_once: float = 1_200.0
    """The same, at once."""
    new_per_source_per_s: float = 20.0
    """Connections that may begin, of one source, in the long run: many devices may be behind one."""
    new_per_source_at_once: float = 200.0
    """The same, at once."""
    handshake_s: float = 10.0
    """For the TLS handshake."""
    head_s: float = 10.0
    """For a head, from its first byte (the first head: from the handshake)."""
    idle_s: float = 75.0
    """Between two requests."""
    body_grace_s: float = 10.0
    """That a body may stand still; on top of what ``body_bytes_per_s`` gives it."""
    body_bytes_per_s: int = 1_024
    """That a body must bring at least, on average, while we wait for it."""
    bodies_bytes: int = 134_217_728
    """What may have arrived, in all, of bodies of requests that are not answered yet."""
    write_s: float = 20.0
    """For the peer to take a piece of a response (at most 64 KiB)."""
    shutdown_s: float = 5.0
    """For requests to end when the server closes."""

    def __post_init__(self) -> None:
        """Refuse what could never work."""
        at_least_1 = ("connections", "connections_per_source", "handshakes", "body_bytes_per_s")
        for name in (*at_least_1, "new_at_once", "new_per_source_at_once"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is at least 1")
        for name in ("new_per_s", "new_per_source_per_s"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} is more than 0")


@dataclass(frozen=True, slots=True)
class ClientLimits:
    """Of a client."""

    response: MessageLimits = field(default_factory=MessageLimits)
    """Of a response: its head and its body; of a stream: each piece of it."""
    connect_s: float = 10.0
    """For the connection, and again for its TLS handshake."""
    response_s: float = 30.0
    """For the head of the response, from the end of the request."""
    body_grace_s: float = 10.0
    """That a body of a response may stand still; on top of what ``body_bytes_per_s`` gives it."""
    body_bytes_per_s: int = 1_024
    """That a body of a response must bring at least, on average."""
    write_s: float = 20.0
    """For the server to take a piece of a request (at most 64 KiB)."""
    stall_s: float = 90.0
    """Between two pieces of a stream."""
