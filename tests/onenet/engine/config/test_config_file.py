import pytest
from onenet import ConfigError
from onenet.engine.config.files import merge_file, merge_list


@pytest.fixture
def cfg(tiny_cfg):
    return tiny_cfg()


@pytest.fixture
def write(tmp_path):
    def write(text, name="file.yaml"):
        path = tmp_path / name
        path.write_text(text)
        return str(path)

    return write


def error_of(function, *arguments):
    """The message of the ConfigError, which is one line."""
    with pytest.raises(ConfigError) as caught:
        function(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_file_overrides_its_base(cfg, write):
    write("MODEL: {DEVICE: cpu, OneNet: {GAMMA: 3.0, ALPHA: 0.5}}\nSEED: 7", "base.yaml")
    merge_file(cfg, write("_BASE_: base.yaml\nMODEL: {OneNet: {GAMMA: 4.0}}\nVERSION: 2"))
    assert (cfg.MODEL.OneNet.GAMMA, cfg.MODEL.OneNet.ALPHA, cfg.SEED) == (4.0, 0.5, 7)


def test_the_command_line_is_parsed_as_detectron2_does(cfg):
    merge_list(cfg, ["SOLVER.STEPS", "(1, 2)", "MODEL.OneNet.HEAD", "FCOS", "SEED", "5"])
    assert (cfg.SOLVER.STEPS, cfg.MODEL.OneNet.HEAD, cfg.SEED) == ((1, 2), "FCOS", 5)


def test_a_whole_number_is_a_float_too(cfg, write):
    merge_list(cfg, ["MODEL.OneNet.CLASS_COST", "0"])
    merge_file(cfg, write("SOLVER: {BASE_LR: 1}"))
    assert (cfg.MODEL.OneNet.CLASS_COST, cfg.SOLVER.BASE_LR) == (0.0, 1.0)
    assert isinstance(cfg.SOLVER.BASE_LR, float)


def test_the_eval_tag_of_the_official_files_is_arithmetic(cfg, write):
    tag = "!!python/object/apply:eval"
    merge_file(
        cfg,
        write(f'MODEL: {{ANCHOR_GENERATOR: {{SIZES: {tag} ["[[x, x*2**0.5] for x in [4]]"]}}}}'),
    )
    assert cfg.MODEL.ANCHOR_GENERATOR.SIZES == [[4, 4 * 2**0.5]]


@pytest.mark.parametrize("value", ["!!python/object/apply:os.getcwd []",
                                   '!!python/object/apply:eval ["open(1)"]'])  # fmt: skip
def test_no_code_of_a_file_is_run(cfg, write, value):
    error_of(merge_file, cfg, write(f"SEED: {value}"))


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("MODEL.OneNet.NUM_CLASES", "MODEL.OneNet.NUM_CLASSES"),
        ("MODEL.OneNett.PRE_DEFINE", "MODEL.OneNet.PRE_DEFINE"),
        ("SOLVER.OPTIMISER", "SOLVER.OPTIMIZER"),
        ("NUM_WORKERS", "DATALOADER.NUM_WORKERS"),
        ("MODEL.DEVICE.TYPE", "MODEL.DEVICE"),
    ],
)
def test_unknown_key(cfg, write, key, hint):
    *parents, last = key.split(".")
    file = write("".join(f"{name}: {{" for name in parents) + f"{last}: 3" + "}" * len(parents))
    for message in (error_of(merge_list, cfg, [key, "3"]), error_of(merge_file, cfg, file)):
        assert key in message
        assert hint in message.split(key, 1)[1]
    assert file in message


def test_unlike_any_key(cfg):
    message = error_of(merge_list, cfg, ["MODEL.OneNet.XYZZY", "3"])
    assert "Valid names: ACTIVATION" in message


@pytest.mark.parametrize(
    ("key", "value", "wanted"),
    [
        ("MODEL.OneNet.NUM_CLASSES", "many", "int"),
        ("MODEL.OneNet.DCN", "2", "bool"),
        ("SOLVER.BASE_LR", "fast", "float"),
        ("MODEL.OneNet", "3", "section"),
    ],
)
def test_wrong_type(cfg, write, key, value, wanted):
    before = cfg.dump()
    message = error_of(merge_list, cfg, [key, value])
    assert key in message
    assert value in message
    assert wanted in message
    assert cfg.dump() == before


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("MODEL: {\nSEED: 1\n", "line"),
        ("a: b: c", "line 1"),
        ("", "does not hold config keys"),
        ("- 1\n- 2", "does not hold config keys"),
        ("just text", "does not hold config keys"),
        ("VERSION: 1", "VERSION"),
    ],
)
def test_unreadable_file(cfg, write, text, message):
    file = write(text)
    error = error_of(merge_file, cfg, file)
    assert file in error
    assert message in error


def test_binary_file(cfg, tmp_path):
    file = tmp_path / "file.yaml"
    file.write_bytes(b"\xff\xfe\x00\x01")
    assert str(file) in error_of(merge_file, cfg, str(file))


def test_missing_file(cfg, write, tmp_path):
    write("SEED: 1", "onenet_R50.yaml")
    message = error_of(merge_file, cfg, str(tmp_path / "onenet_r5.yaml"))
    assert "onenet_r5.yaml" in message
    assert 'Did you mean "onenet_R50.yaml"' in message
    assert "does not exist" in error_of(merge_file, cfg, str(tmp_path / "nowhere" / "file.yaml"))
    assert "cannot read" in error_of(merge_file, cfg, str(tmp_path))


def test_missing_base(cfg, write):
    assert "bas.yaml" in error_of(merge_file, cfg, write("_BASE_: bas.yaml"))


def test_bases_in_a_circle(cfg, write):
    write("_BASE_: b.yaml", "a.yaml")
    assert "circle" in error_of(merge_file, cfg, write("_BASE_: a.yaml", "b.yaml"))


def test_a_section_that_is_a_value_in_the_base(cfg, write):
    write("MODEL: 3", "base.yaml")
    assert "MODEL" in error_of(merge_file, cfg, write("_BASE_: base.yaml\nMODEL: {DEVICE: cpu}"))


def test_command_line_out_of_pairs(cfg):
    assert "SEED" in error_of(merge_list, cfg, ["SOLVER.MAX_ITER", "3", "SEED"])
    message = error_of(merge_list, cfg, ["SEED", "3", "--resume"])
    assert "--resume" in message
    assert "before" in message
