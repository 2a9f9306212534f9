"""Our own Noise vectors: specs/vectors/noise.txt, for those who implement the hybrid handshakes elsewhere."""

import json

import pytest

from protocols.noise.vectors import Outcome, Vector, load_vectors_untrusted, protocol_name, run_vector
from tests.tools.write_noise_vectors import FILE, NAMES, make_file

VECTORS = load_vectors_untrusted(FILE.read_bytes())


@pytest.mark.parametrize("vector", VECTORS, ids=protocol_name)
def test_vector(vector: Vector) -> None:
    """NH-4, NH-5, NH-8, NH-9, NP-3: each answer, in both directions."""
    result = run_vector(vector)
    assert result.outcome is Outcome.PASSED, result.reason


def test_the_file_is_what_its_program_writes() -> None:
    text = FILE.read_text("utf-8")
    assert make_file(text) == text
    assert [row["protocol_name"] for row in json.loads(text)["vectors"]] == list(NAMES)


def test_a_new_file_has_new_encapsulations_only() -> None:
    """NH-6: what cannot be seeded differs; the rest of the keys follow from labels."""
    old, new = json.loads(FILE.read_text("utf-8"))["vectors"], json.loads(make_file(""))["vectors"]
    for before, after in zip(old, new, strict=True):
        assert before["init_ephemeral"] == after["init_ephemeral"]
        assert (before == after) == ("init_kem_seed" not in before)
        assert run_vector(after).outcome is Outcome.PASSED
