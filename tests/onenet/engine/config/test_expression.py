import pytest
from onenet import ConfigError
from onenet.engine.config.expression import evaluate


@pytest.mark.parametrize(
    "text",
    [
        "[[x, x * 2**(1.0/3), x * 2**(2.0/3) ] for x in [32, 64, 128, 256, 512 ]]",
        "-1 + 7 // 2",
        "(1, 'a', [])",
        "[[x + y for y in (1, 2)] for x in [10, 20]]",
    ],
)
def test_is_what_python_says(text):
    assert evaluate(text) == eval(text)


@pytest.mark.parametrize(
    "text",
    ["__import__('os').getcwd()", "open", "[x for x in y]", "().__class__", "x", "1 +", "'a' - 1",
     "1 / 0", "[x for x in [1, 2] if x]"],
)  # fmt: skip
def test_nothing_else_is_evaluated(text):
    with pytest.raises(ConfigError):
        evaluate(text)
