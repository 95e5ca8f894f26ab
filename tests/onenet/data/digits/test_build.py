import contextlib
import hashlib
import io
import multiprocessing
import runpy
import signal
import sys
import time
from dataclasses import replace

import cv2
import numpy as np
import pytest
from onenet.data.digits import build
from onenet.data.digits.build import SPECS, ensure_digits
from onenet.data.digits.glyphs import load_pool
from onenet.data.digits.scenes import compose_scene
from onenet.data.made import datasets_root
from onenet.errors import UserError
from pycocotools.coco import COCO

FORK = multiprocessing.get_context("fork")


def files_of(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def leftovers(root, spec):
    return [p.name for p in root.iterdir() if p.name.startswith(f".{spec.name}.")]


def read_coco(spec, folder, split):
    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(str(spec.json_file(folder, split)))


def test_the_shipped_datasets_have_the_promised_size():
    digits, crowd = SPECS
    assert digits.scenes == {"train": 1000, "val": 200}
    assert (digits.style.size, digits.style.count, digits.style.height) == (160, (1, 8), (16, 56))
    assert crowd.style.count[0] >= 20


def test_root_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    assert datasets_root() == tmp_path
    monkeypatch.delenv("DETECTRON2_DATASETS")
    assert str(datasets_root()) == "datasets"


def test_annotations_are_valid_coco(tmp_path, tiny_spec):
    folder = ensure_digits(tmp_path, tiny_spec)
    for split, count in tiny_spec.scenes.items():
        coco = read_coco(tiny_spec, folder, split)
        assert len(coco.imgs) == count
        assert {c["id"]: c["name"] for c in coco.loadCats(coco.getCatIds())} == {
            i + 1: str(i) for i in range(10)
        }
        for annotation in coco.anns.values():
            x, y, width, height = annotation["bbox"]
            assert x >= 0 and y >= 0 and x + width <= 96 and y + height <= 96
            assert annotation["area"] == width * height > 0
            assert annotation["image_id"] in coco.imgs and annotation["iscrowd"] == 0


def test_no_source_image_is_in_both_splits(tmp_path, tiny_spec):
    spec = replace(tiny_spec, scenes={"train": 20, "val": 20})
    folder = ensure_digits(tmp_path, spec)
    train, val = (
        {a["source"] for a in read_coco(spec, folder, split).anns.values()} for split in spec.scenes
    )
    assert train and val and not train & val


def test_images_are_lossless_rgb(tmp_path, tiny_spec):
    folder = ensure_digits(tmp_path, tiny_spec)
    image = cv2.imread(str(tiny_spec.image_root(folder, "train") / "000001.png"))[:, :, ::-1]
    scene = compose_scene(np.random.default_rng(1), load_pool("train"), tiny_spec.style)
    assert np.array_equal(image, scene.image)


def test_made_twice_is_bit_identical(tmp_path, tiny_spec):
    first, second = (ensure_digits(tmp_path / name, tiny_spec) for name in "ab")
    assert files_of(first) == files_of(second)


def test_current_data_is_left_alone_and_stale_data_remade(tmp_path, tiny_spec, monkeypatch):
    folder = ensure_digits(tmp_path, tiny_spec)
    marker = folder / "marker"
    marker.touch()
    assert ensure_digits(tmp_path, tiny_spec) == folder
    assert marker.exists()
    monkeypatch.setattr(build, "VERSION", build.VERSION + 1)
    ensure_digits(tmp_path, tiny_spec)
    assert not marker.exists()
    ensure_digits(tmp_path, replace(tiny_spec, scenes={"train": 1, "val": 1}))
    assert len(files_of(folder)) == 2 + 2 + 1  # images, annotations, stamp
    assert not leftovers(tmp_path, tiny_spec)


def test_a_folder_of_somebody_else_is_not_touched(tmp_path, tiny_spec):
    foreign = tmp_path / tiny_spec.name / "precious.txt"
    foreign.parent.mkdir()
    foreign.touch()
    with pytest.raises(UserError, match="in the way"):
        ensure_digits(tmp_path, tiny_spec)
    assert foreign.exists()


def test_a_root_that_cannot_be_written_is_one_line(tmp_path, tiny_spec):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="set DETECTRON2_DATASETS") as caught:
        ensure_digits(tmp_path / "file" / "datasets", tiny_spec)
    assert "\n" not in str(caught.value)


def test_an_error_midway_leaves_nothing(tmp_path, tiny_spec, monkeypatch):
    def fail(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(build, "_write_png", fail)
    with pytest.raises(KeyboardInterrupt):
        ensure_digits(tmp_path, tiny_spec)
    assert not (tmp_path / tiny_spec.name).exists()
    assert not leftovers(tmp_path, tiny_spec)


def test_a_killed_run_leaves_nothing_half_made(tmp_path, tiny_spec):
    endless = replace(tiny_spec, scenes={"train": 10**6, "val": 1})
    process = FORK.Process(target=ensure_digits, args=(tmp_path, endless))
    process.start()
    deadline = time.monotonic() + 120
    while not any(tmp_path.glob(".tiny.*/new/train/*.png")):
        assert process.is_alive() and time.monotonic() < deadline
        time.sleep(0.02)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert not (tmp_path / "tiny").exists()
    assert leftovers(tmp_path, tiny_spec)
    folder = ensure_digits(tmp_path, tiny_spec)  # neither the lock nor the scratch folder stop it
    assert len(read_coco(tiny_spec, folder, "train").imgs) == tiny_spec.scenes["train"]
    assert not leftovers(tmp_path, tiny_spec)


def _ensure_and_count(root, spec, barrier, made):
    draw = build.write_digits

    def counted(*arguments):
        made.value += 1
        draw(*arguments)

    build.write_digits = counted
    barrier.wait()
    folder = ensure_digits(root, spec)
    assert len(read_coco(spec, folder, "train").imgs) == spec.scenes["train"]


def test_racing_processes_make_it_once_and_all_find_it(tmp_path, tiny_spec):
    barrier, made = FORK.Barrier(3), FORK.Value("i", 0)
    racers = [
        FORK.Process(target=_ensure_and_count, args=(tmp_path, tiny_spec, barrier, made))
        for _ in range(3)
    ]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join(timeout=120)
    assert [racer.exitcode for racer in racers] == [0, 0, 0]
    assert made.value == 1
    assert not leftovers(tmp_path, tiny_spec)


def run_command_line(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["onenet.data", *map(str, arguments)])
    runpy.run_module("onenet.data", run_name="__main__")


def test_command_line_makes_the_data(tmp_path, tiny_spec, monkeypatch, capsys):
    monkeypatch.setattr(build, "SPECS", (tiny_spec,))
    run_command_line(monkeypatch, "--output", tmp_path)
    assert (tmp_path / "tiny" / "annotations").is_dir()
    assert capsys.readouterr().out == f"{tmp_path / 'tiny'}\n"


def test_command_line_reports_a_bad_folder_in_one_line(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit) as caught:
        run_command_line(monkeypatch, "--output", tmp_path / "file" / "x")
    assert caught.value.code.startswith("error: ") and "\n" not in caught.value.code
