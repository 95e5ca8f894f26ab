"""What the tests of several programs share."""

from pathlib import Path

import pytest

TINY = Path(__file__).parents[1] / "tiny.yaml"


@pytest.fixture
def config(tmp_path):
    """The tiny detector, on small images; without weights of its own."""
    path = tmp_path / "config.yaml"
    path.write_text(f'_BASE_: "{TINY}"\nINPUT: {{MIN_SIZE_TEST: 64}}\nSEED: 1\nVERSION: 2\n')
    return path
