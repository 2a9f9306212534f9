"""Errors as people and other processes see them: the one that counts, its line, its name."""

from collections.abc import Iterator
from typing import cast

from nodes.config.reader import one_line
from protocols.errors import AerolinkError, LocalError, UsageError


class LinkClosedError(UsageError):
    """The link is down; ``Link.down`` says why."""

    advice = "Make the link anew, a node does so by itself; `link.down` and the log say why it ended."


_CONSEQUENCES = (LinkClosedError,)
"""What usually follows from another error."""


class ChildLostError(LocalError):
    """A process that we started ended before its time."""

    advice = "Look at the lines above it: they are the last of the process that ended. If it was killed, start again."


class BugError(Exception):
    """Something that no error of ours describes has happened, in another process."""


def leaves(error: BaseException) -> Iterator[BaseException]:
    """Yield the errors inside of (groups of) groups."""
    if isinstance(error, BaseExceptionGroup):
        for each in cast("BaseExceptionGroup[BaseException]", error).exceptions:
            yield from leaves(each)
    else:
        yield error


def root_cause(error: BaseException) -> BaseException:
    """Return the error that a user should see: a bug first, then what we raise on purpose, consequences last."""
    return min(leaves(error), key=_rank)


def _rank(error: BaseException) -> int:
    if isinstance(error, _CONSEQUENCES):
        return 2
    return 1 if isinstance(error, AerolinkError | KeyboardInterrupt) else 0


def told(error: BaseException) -> str:
    """Return an error as one line. The text of an error that is not ours may hold anything, so it stays out."""
    if isinstance(error, AerolinkError | BugError):
        return one_line(str(error))
    return f"internal error: {type(error).__name__}"


def error_named(name: str, message: str) -> Exception:
    """Return the error that another process of ours told of by :func:`told`."""
    kinds = {kind.__name__: kind for kind in _family(AerolinkError)}
    return kinds.get(name, BugError)(message)


def _family(kind: type[AerolinkError]) -> Iterator[type[AerolinkError]]:
    yield kind
    for each in kind.__subclasses__():
        yield from _family(each)
