import pytest
from onenet.files import complete_file, complete_folder, write_text


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "model.onnx"
    write_text(path, "before ä")
    with pytest.raises(KeyError), complete_file(path) as partial:
        assert partial.suffix == ".onnx" and partial.parent == tmp_path
        partial.write_text("half")
        raise KeyError
    assert path.read_text(encoding="utf-8") == "before ä"
    with complete_file(path) as partial:
        partial.write_text("after")
        assert path.read_text(encoding="utf-8") == "before ä"
    assert path.read_text() == "after"
    assert list(tmp_path.iterdir()) == [path]


def test_nothing_written_changes_nothing(tmp_path):
    with complete_file(tmp_path / "empty"):
        pass
    assert not list(tmp_path.iterdir())


def test_what_a_killed_program_left_is_not_taken_for_the_file(tmp_path):
    with complete_file(tmp_path / "film.mp4") as partial:
        pass
    partial.write_text("half")
    with complete_file(tmp_path / "film.mp4"):
        pass
    assert not list(tmp_path.iterdir())


def test_a_folder_is_replaced_whole_or_stays(tmp_path):
    path = tmp_path / "data [1]"
    with complete_folder(path) as new:
        (new / "a").touch()
        assert not path.exists()
    with pytest.raises(KeyError), complete_folder(path) as new:
        (new / "half").touch()
        raise KeyError
    assert [file.name for file in path.iterdir()] == ["a"]
    (tmp_path / ".data [1].killed").mkdir()
    with complete_folder(path) as new:
        (new / "b").touch()
    assert [file.name for file in path.iterdir()] == ["b"]
    assert list(tmp_path.iterdir()) == [path]
