import pytest
from onenet.data import check_datasets_available, check_labels, check_num_classes
from onenet.errors import ConfigError, UserError

# isort: split
from detectron2.data import DatasetCatalog, MetadataCatalog


@pytest.fixture
def register():
    """Put a dataset into the catalogs for the length of a test."""
    names = []

    def add(name, records=(), **metadata):
        DatasetCatalog.register(name, lambda: list(records))
        MetadataCatalog.get(name).set(**metadata)
        names.append(name)

    yield add
    for name in names:
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)


def message(caught):
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_unknown_dataset_is_refused_with_the_nearest_name():
    with pytest.raises(ConfigError) as caught:
        check_datasets_available(["digit_val"])
    assert '"digit_val"' in message(caught) and '"digits_val"' in message(caught)


@pytest.mark.parametrize("missing", ["json_file", "image_root"])
def test_missing_files_are_named_with_the_remedy(tmp_path, register, monkeypatch, missing):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    paths = {"json_file": tmp_path / "a.json", "image_root": tmp_path / "images"}
    paths["json_file"].touch()
    paths["image_root"].mkdir()
    paths[missing] = tmp_path / "elsewhere"
    register("some_set", **{key: str(path) for key, path in paths.items()})
    with pytest.raises(UserError) as caught:
        check_datasets_available(["some_set"])
    for part in ('"some_set"', str(paths[missing]), "DETECTRON2_DATASETS", str(tmp_path)):
        assert part in message(caught)


def test_present_and_fileless_datasets_pass(tmp_path, register):
    register("no_files")
    register("with_root", image_root=str(tmp_path))
    check_datasets_available(["no_files", "with_root"])


def test_number_of_classes_must_agree(register):
    register("three", thing_classes=["cat", "dog", "cow"])
    register("untold")
    check_num_classes(["three", "untold"], 3)
    with pytest.raises(ConfigError) as caught:
        check_num_classes(["three"], 80)
    assert all(part in message(caught) for part in ("80", '"three"', "3 classes", "cat"))


@pytest.mark.parametrize("label", [-1, 10])
def test_class_out_of_range_names_dataset_annotation_and_range(label):
    labels = [{"category_id": 9}, {"category_id": label}]
    with pytest.raises(UserError) as caught:
        check_labels([{"file_name": "a.png", "annotations": labels}], "my_set", 10)
    for part in ('"my_set"', '"a.png"', "annotation 1", str(label), "0 to 9"):
        assert part in message(caught)
