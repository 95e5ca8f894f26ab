"""The cases of the references are those of the explanations too."""

import pytest


@pytest.fixture(autouse=True)
def hold_explanations(explained):
    """Every rule that runs here explains itself, and its verdict is what it did."""
