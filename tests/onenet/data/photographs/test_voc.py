import pytest
from onenet.data.photographs.voc import read_voc
from onenet.errors import UserError

VOC = """<annotation><size><width>30</width><height>20</height></size>
<object><name>Dead</name><bndbox><xmin>1</xmin><ymin>2.5</ymin><xmax>3</xmax><ymax>4</ymax></bndbox></object>
<object><name>Alive</name><bndbox><xmin>5</xmin><ymin>6</ymin><xmax>7</xmax><ymax>8</ymax></bndbox></object>
</annotation>"""


@pytest.fixture
def path(tmp_path):
    (tmp_path / "a.xml").write_text(VOC)
    return tmp_path / "a.xml"


def test_size_and_boxes(path):
    assert read_voc(path) == (30, 20, [[1, 2.5, 3, 4], [5, 6, 7, 8]])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (VOC, "", "not in the format of Pascal VOC"),
        ("</annotation>", "", "not in the format of Pascal VOC"),
        ("<width>30</width>", "", "no size/width"),
        ("<ymax>8</ymax>", "", "no bndbox/ymax"),
        ("2.5", "two", "two"),
    ],
)
def test_a_broken_file_is_named(path, old, new, message):
    path.write_text(VOC.replace(old, new))
    with pytest.raises(UserError, match=message) as caught:
        read_voc(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match="cannot read"):
        read_voc(tmp_path / "b.xml")
