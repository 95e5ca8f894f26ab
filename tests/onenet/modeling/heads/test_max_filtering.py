import pytest
import torch
from onenet.modeling.heads.max_filtering import MaxFiltering


@pytest.mark.golden("max_filtering", kind="mf")
def test_features_and_gradients_are_those_of_the_reference(case):
    groups = 32 if case["variant"] == "gn" else 0
    filtering = MaxFiltering(case["channels"], case["kernel"], case["tau"], groups)
    filtering.load_state_dict(case["state_dict"])
    levels = range(case["num_levels"])
    inputs = [case[f"in{i}"].clone().requires_grad_() for i in levels]
    outputs = filtering(inputs)
    torch.autograd.backward(outputs, [case[f"cot{i}"] for i in levels])
    for i in levels:
        torch.testing.assert_close(outputs[i], case[f"out{i}"], rtol=1e-4, atol=3e-5)
        expected = case[f"grad{i}"]
        largest = expected.abs().max().item()
        torch.testing.assert_close(inputs[i].grad, expected, rtol=1e-3, atol=1e-5 * largest)


def test_a_level_sees_those_beside_it_alone():
    filtering = MaxFiltering(1, tau=2)
    with torch.no_grad():
        filtering.conv.weight.zero_()[0, 0, 1, 1] = 1
    fine, middle, coarse = (torch.zeros(1, 1, size, size) for size in (8, 4, 2))
    coarse[0, 0, 0, 0] = 1
    filtered = filtering([fine, middle, coarse])
    assert [x.max() > 0 for x in filtered] == [False, True, True]
