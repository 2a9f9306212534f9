"""Ctrl-C at a moment at which nothing may be left half way."""

import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager


@contextmanager
def interrupts_wait(first: Callable[[], object] | None = None) -> Generator[None]:
    """Let the first Ctrl-C call ``first``, and raise KeyboardInterrupt at the end of the block; the next does at once.

    Without ``first`` all of them wait: the block takes milliseconds, and would stand still if it were left half way.
    Nothing changes in other threads, nor where somebody else handles the signal (asyncio does).
    """
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    came: list[int] = []

    def note(number: int, _frame: object) -> None:
        if came and first is not None:
            raise KeyboardInterrupt
        came.append(number)
        if first is not None:
            first()

    signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if came:
            raise KeyboardInterrupt
