import pytest
from onenet import ConfigError, UserError
from onenet.errors import choose, nearest


@pytest.mark.parametrize("name", ["MinCots", "mincost", "MINCOST", "Min_Cost"])
def test_a_close_name_is_suggested_whatever_its_case(name):
    assert nearest(name, ["ATSS", "MinCost", "FCOS"]) == ' Did you mean "MinCost"?'


def test_names_are_listed_where_none_is_close():
    assert nearest("xyz", ["b", "a"]) == " Valid names: a, b."
    assert nearest("xyz", []) == " There are no valid names."
    many = nearest("xyz", [f"{i:03d}" for i in range(30)])
    assert many.endswith("011, ... (30 in all).") and "012" not in many


def test_mistakes_of_a_user_are_value_errors():
    assert issubclass(ConfigError, UserError) and issubclass(UserError, ValueError)


def test_a_name_that_exists_is_chosen():
    assert choose("KEY", "a", ("a", "b")) == "a"
    with pytest.raises(ConfigError, match=r'^KEY: unknown name "aa"\. Did you mean "a"\?$'):
        choose("KEY", "aa", {"a": 1})
