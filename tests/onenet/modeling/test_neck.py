import pytest
import torch
from detectron2.modeling import build_model
from onenet import ConfigError
from onenet.modeling.neck import ASFF, asff

NECK = "MODEL.OneNet.NECK", "ASFF"
ADAPTED = {"stride_level_1": 1, "stride_level_2": 0, "compress_level_0": 2}
DESCRIBED = {f"weight_level_{index}": f"describe.{2 - index}" for index in range(3)}


def fusion_of(case):
    """With the weights of the reference, which counts levels from the coarsest."""
    state = case["state_dict"]
    level, width = 2 - case["level"], len(state["weight_level_0.conv.weight"])
    channels = [case[f"in{2 - index}"].shape[1] for index in range(3)]
    fusion = asff.LevelFusion(channels, level, case["out"].shape[1], "BN", width)
    fusion.load_state_dict({ours(fusion, key): value for key, value in state.items()}, strict=False)
    return fusion.eval(), state


def ours(fusion, key):
    """Our name of a weight of the reference; "weigh" has its inputs in our order then."""
    part, rest = key.split(".", 1)
    rest = rest.replace("conv.", "").replace("batch_norm.", "norm.")
    if part in ADAPTED:
        index = ADAPTED[part]
        halvings = fusion.level - index
        return f"adapt.{index}." + (f"{halvings - 1}." if halvings > 0 else "") + rest
    return f"{DESCRIBED.get(part, {'weight_levels': 'weigh'}.get(part, part))}.{rest}"


@pytest.mark.golden("asff", kind="asff")
def test_reference(case):
    fusion, state = fusion_of(case)
    names = {ours(fusion, key) for key in state}
    assert names == {k for k in fusion.state_dict() if not k.endswith("num_batches_tracked")}
    levels = len(fusion.adapt)
    reverse = lambda x, dim: torch.cat(x.chunk(levels, dim)[::-1], dim)  # noqa: E731
    with torch.no_grad():
        fusion.weigh.weight.copy_(reverse(reverse(state["weight_levels.weight"], 0), 1))
        fusion.weigh.bias.copy_(reverse(state["weight_levels.bias"], 0))
        features = [case[f"in{levels - 1 - index}"] for index in range(levels)]
        weights = fusion.weights(fusion.adapted(features))
        torch.testing.assert_close(reverse(weights, 1), case["level_weights"], rtol=1e-4, atol=3e-5)
        torch.testing.assert_close(fusion(features), case["out"], rtol=1e-4, atol=3e-5)


@pytest.mark.parametrize("norm", ["", "BN", "GN"])
def test_shapes_of_a_pyramid_of_odd_sizes_stay(norm):
    channels = [32] * 5
    features = [torch.rand(2, 32, h, w) for h, w in [(20, 28), (10, 14), (5, 7), (3, 4), (2, 2)]]
    mixed = ASFF(channels, norm)(features)
    assert [x.shape for x in mixed] == [x.shape for x in features]
    neck = ASFF(channels, norm)
    sum(x.square().sum() for x in neck(features)).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in neck.parameters())


@pytest.mark.parametrize("head", ["CenterNet", "FCOS", "RetinaNet"])
def test_the_key_puts_it_in_front_of_any_head(tiny_cfg, make_inputs, head):
    torch.manual_seed(0)
    plain, model = (build_model(tiny_cfg(head, *options)) for options in ((), NECK))
    added = model.state_dict().keys() - plain.state_dict().keys()
    assert plain.state_dict().keys() <= model.state_dict().keys()
    assert added and all(name.startswith("neck.fusions.") for name in added)
    sum(model(make_inputs()).values()).backward()
    assert all(p.grad is not None for p in model.neck.parameters())
    assert len(model.eval()(make_inputs())) == 2


def test_it_stays_as_it_is_below_a_selector_on_top(tiny_cfg):
    selector = "MODEL.OneNet.SELECTOR.ENABLED", True, "MODEL.OneNet.SELECTOR.FREEZE", True
    model = build_model(tiny_cfg("FCOS", *NECK, *selector)).train()
    assert not model.neck.training
    assert not any(p.requires_grad for p in model.neck.parameters())


def test_features_that_are_no_pyramid_are_refused(tiny_cfg):
    cfg = tiny_cfg("FCOS", *NECK, "MODEL.OneNet.IN_FEATURES", ["p3", "p5"],
                   "MODEL.OneNet.FEATURES_STRIDE", [8, 32])  # fmt: skip
    with pytest.raises(ConfigError, match=r'NECK "ASFF" .* are \[8, 32\]'):
        build_model(cfg)


def test_a_neck_that_does_not_exist(tiny_cfg):
    with pytest.raises(ConfigError, match=r'NECK: unknown name "ASF".*"ASFF"'):
        build_model(tiny_cfg("FCOS", "MODEL.OneNet.NECK", "ASF"))
