import pytest
from onenet.data.digits.build import DigitsSpec
from onenet.data.digits.scenes import SceneStyle


@pytest.fixture
def tiny_spec():
    """A digits dataset that is made in a moment."""
    return DigitsSpec("tiny", SceneStyle(size=96, count=(1, 3)), {"train": 3, "val": 2})
