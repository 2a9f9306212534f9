"""What a portal raises by itself, and how errors come out of trio."""

from collections.abc import Sequence

from protocols.errors import UsageError


def closed_error() -> UsageError:
    """Return the error of whoever calls through a portal that is not open."""
    return UsageError("the portal to trio is closed: call inside of its `with` block")


def own_thread_error() -> UsageError:
    """Return the error of whoever would wait for himself."""
    return UsageError("this is the portal's own thread: await the function here, the portal is for other threads")


def alone(error: BaseException) -> BaseException:
    """Return the one exception in a group, or in groups of one: nurseries wrap everything in a group."""
    inside: Sequence[BaseException] = getattr(error, "exceptions", ())  # typed: a group's are of any kind
    return alone(inside[0]) if len(inside) == 1 else error
