"""Where rich writes for people."""

from typing import NoReturn

from rich.console import Console


class Screen(Console):
    """A console whose reader may go: that is told as for any other output (exit code 141), and is no bug."""

    def on_broken_pipe(self) -> NoReturn:
        """Leave it to the command: rich itself would end the program with 1, and that means another thing."""
        raise BrokenPipeError
