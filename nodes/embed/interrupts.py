"""Ctrl-C at a moment at which nothing may be left half way."""

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def interrupts_wait() -> Generator[None]:
    """Let KeyboardInterrupt come at the end of the block, not inside: for what is short, and opens or closes a thread.

    Nothing changes in other threads, nor where somebody else handles the signal (asyncio does).
    """
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    came = threading.Event()

    def note(_number: int, _frame: object) -> None:
        came.set()

    signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if came.is_set():
            raise KeyboardInterrupt
