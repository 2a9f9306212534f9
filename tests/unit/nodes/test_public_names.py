"""The public names of ``nodes``: listed once, imported on demand."""

import subprocess
import sys

import pytest

import nodes


def test_every_public_name_is_there_and_listed() -> None:
    for name in nodes.__all__:
        assert getattr(nodes, name).__name__ == name
    assert dir(nodes) == nodes.__all__ == sorted(nodes.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Submarine'"):
        _ = nodes.Submarine  # pyright: ignore[reportAttributeAccessIssue]


def test_importing_nodes_costs_nothing() -> None:
    """A command that shows a version needs neither trio nor cryptography."""
    script = "import sys, nodes; print(sorted({'trio', 'cryptography', 'pymavlink'} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
