import os

import pytest
from onenet.data import check_pictures
from onenet.errors import UserError


def records(folder, *names):
    return [{"file_name": os.path.join(folder, name)} for name in names]


@pytest.fixture
def images(tmp_path):
    for name in ("1.png", "deep/er/2.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def test_present_images_pass(images, monkeypatch):
    check_pictures(records(images, "1.png", "deep/er/2.png", "deep/../1.png"), "set")
    monkeypatch.chdir(images)
    check_pictures(records("", "1.png", "deep/er/2.png"), "set")


def test_folders_are_listed_and_files_not_asked_for(images, monkeypatch):
    listed = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: listed.append(str(path)) or scandir(path))
    monkeypatch.setattr(os.path, "isfile", None)
    check_pictures(records(images, *["1.png"] * 3, "deep/er/2.png"), "set")
    assert listed == [str(images), str(images / "deep/er")]


@pytest.mark.parametrize("missing", ["3.png", "nowhere/3.png", "broken.png", "deep"])
def test_missing_images_are_counted_and_the_first_named(images, missing):
    (images / "broken.png").symlink_to(images / "3.png")
    with pytest.raises(UserError, match='"set": 2 of 3 images are missing') as caught:
        check_pictures(records(images, "1.png", missing, "4.png"), "set")
    assert f'"{images / missing}"' in str(caught.value)
    assert "\n" not in str(caught.value)


def test_names_that_the_file_system_spells_in_another_way(images, monkeypatch):
    """On macOS and Windows 1.PNG opens 1.png."""
    isfile = os.path.isfile
    monkeypatch.setattr(os.path, "isfile", lambda path: isfile(path.lower()))
    check_pictures(records(str(images), "1.PNG"), "set")


def test_files_elsewhere_are_not_looked_for():
    check_pictures(records("https://example.org/images", "1.png"), "set")
