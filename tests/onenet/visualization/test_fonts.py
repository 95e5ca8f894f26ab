import logging

import matplotlib
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib.font_manager import fontManager
from onenet.visualization import fonts
from onenet.visualization.draw import new_figure, to_array

PRIVATE = ("\ue123", "\ue124")  # which no font of any machine ought to have


@pytest.fixture(autouse=True)
def as_before(monkeypatch):
    """matplotlib's fonts, put back afterwards."""
    monkeypatch.setattr(fontManager, "ttflist", list(fontManager.ttflist))
    fonts._legible_names.cache_clear()
    with matplotlib.rc_context():
        yield
    fonts._legible_names.cache_clear()


@pytest.fixture
def install(tmp_path):
    """Add a font that draws a square of another size for each of some characters."""

    def add(family, characters):
        builder = FontBuilder(1000)
        names = {ord(c): f"g{i}" for i, c in enumerate(characters)}
        builder.setupGlyphOrder([".notdef", *names.values()])
        builder.setupCharacterMap(names)
        glyphs = {".notdef": square(0)}
        glyphs |= {name: square(300 + 100 * i) for i, name in enumerate(names.values())}
        builder.setupGlyf(glyphs)
        builder.setupHorizontalMetrics(dict.fromkeys(glyphs, (1000, 0)))
        builder.setupHorizontalHeader(ascent=800, descent=-200)
        builder.setupNameTable({"familyName": family, "styleName": "Regular"})
        builder.setupOS2()
        builder.setupPost()
        file = tmp_path / f"{family}.ttf"
        builder.save(file)
        fontManager.addfont(str(file))

    return add


def square(side):
    pen = TTGlyphPen(None)
    pen.moveTo((0, 0))
    for corner in ((0, side), (side, side), (side, 0)):
        pen.lineTo(corner)
    pen.closePath()
    return pen.glyph()


def picture(text):
    figure = new_figure(100, 50)
    figure.text(0.1, 0.1, text)
    return to_array(figure)


def test_names_that_the_default_font_has_stay(caplog):
    names = ["cat", "gr\u00f6\u00dfe", "\u0441\u043e\u0431\u0430\u043a\u0430", "two\nlines"]
    assert fonts.legible_names(names) == names
    assert matplotlib.rcParams["font.family"] == ["sans-serif"]
    assert not caplog.records


def test_without_a_font_there_is_a_number_and_one_message(caplog):
    names = ["cat", f"a{PRIVATE[0]}", PRIVATE[1]]
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert fonts.legible_names(names) == ["cat", "1 U+E123", "2 U+E124"]
    (record,) = caplog.records
    assert all(name in record.getMessage() for name in names[1:])


def test_a_font_that_has_them_is_taken(install, caplog):
    install("Half", PRIVATE[:1])
    install("Whole", PRIVATE)
    assert fonts.legible_names(PRIVATE) == list(PRIVATE)
    assert matplotlib.rcParams["font.family"] == ["sans-serif", "Whole"]
    assert not caplog.records
    first, second, nothing = picture(PRIVATE[0]), picture(PRIVATE[1]), picture("")
    assert (first != nothing).any() and (second != first).any()


def test_a_font_of_placeholders_does_not_count(install):
    install("Last Resort of somebody", PRIVATE)
    assert fonts.legible_names(PRIVATE[:1]) == ["0 U+E123"]


def test_a_file_that_has_gone_is_no_font(install, tmp_path):
    install("Gone", PRIVATE)
    (tmp_path / "Gone.ttf").unlink()
    assert fonts.legible_names(PRIVATE[:1]) == ["0 U+E123"]


def test_other_texts_keep_what_can_be_written():
    assert fonts.legible(f"scene {PRIVATE[0]}: 3") == "scene ?: 3"


def test_a_dollar_is_no_formula():
    assert (picture(fonts.legible("$x_1$")) != picture("$x_1$")).any()
    picture(fonts.legible("$\\frac$"))  # which as a formula is an error
