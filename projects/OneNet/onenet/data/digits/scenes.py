"""Compose one detection scene: handwritten digits on textured paper, with their tight boxes."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from .background import LEVELS, add_grain, paint_background
from .glyphs import CLASS_NAMES, INK_THRESHOLD, DigitPool, render_glyph

LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601


@dataclass(frozen=True)
class SceneStyle:
    """What a kind of scene looks like; lengths in pixels.

    Attributes:
        size: side of the square image.
        count: least and most digits of a scene.
        height: least and most height of a digit's box.
        twin_probability: how often a digit gets a neighbour that shows another image of its
            class, touching or overlapping it a little: what a detector without suppression must
            tell from a duplicate.
        neighbour_probability: how often a digit is set beside an earlier one of any class.
        max_iou: of any two boxes.
        max_containment: most of the smaller one of two boxes that may lie inside the other.
        min_visible: least share of a digit's ink that is not covered by others.
    """

    size: int = 160
    count: tuple[int, int] = (1, 8)
    height: tuple[int, int] = (16, 56)
    twin_probability: float = 0.35
    neighbour_probability: float = 0.15
    max_iou: float = 0.2
    max_containment: float = 0.35
    min_visible: float = 0.85


DIGITS = SceneStyle()
CROWD = SceneStyle(
    size=240,
    count=(20, 32),
    height=(20, 56),
    twin_probability=0.3,
    neighbour_probability=0.6,
    max_iou=0.4,
    max_containment=0.6,
    min_visible=0.6,
)

ANGLE = 12.0  # degrees to either side
ASPECT = (0.8, 1.25)
THINNESS = (0.28, 0.48)
CONTRAST = (0.3, 0.7)  # luminance step between paper and ink, of the whole range
CHROMA = 45.0  # grey levels by which an ink's channels leave grey
OPACITY = (0.8, 1.0)
TWIN_HEIGHT = (0.8, 1.25)  # relative to the first of the pair
TWIN_SAME_INK = 0.6
NEIGHBOUR_GAP = (0.6, 1.02)  # distance of the centres, 1 is box beside box
NEIGHBOUR_SHIFT = 0.35  # most offset on the other axis, 1 is corner to corner
PLACEMENT_TRIES = 30


@dataclass(frozen=True)
class Ink:
    """A pen: signed luminance step to the paper, colour cast and opacity."""

    contrast: float
    chroma: np.ndarray
    opacity: float


@dataclass
class Digit:
    """One object of a scene.

    Attributes:
        label: class in [0, 10).
        source: row of the image in its pool.
        alpha: (h, w) ink coverage in [0, 1].
        visible: (h, w) the same less what later digits cover.
        x, y: upper left corner of the tight box.
    """

    label: int
    source: int
    alpha: np.ndarray
    ink: Ink
    x: int = 0
    y: int = 0
    visible: np.ndarray = field(default=None, repr=False)

    @property
    def box(self) -> tuple[int, int, int, int]:
        """x1, y1, x2, y2 in absolute pixels; x2 and y2 are exclusive."""
        height, width = self.alpha.shape
        return self.x, self.y, self.x + width, self.y + height


@dataclass(frozen=True)
class DigitsScene:
    """An RGB image (size, size, 3) uint8 and the digits in it, later ones on top."""

    image: np.ndarray
    digits: list[Digit]


def compose_scene(
    rng: np.random.Generator, pool: DigitPool, style: SceneStyle = DIGITS
) -> DigitsScene:
    """Draw one scene; everything random comes from ``rng``.

    Raises:
        RuntimeError: if ``style`` asks for more digits than fit.
    """
    image = paint_background(rng, style.size)
    digits = _arrange(rng, pool, style)
    for digit in digits:
        _draw(image, digit)
    return DigitsScene(add_grain(rng, image), digits)


def _arrange(rng: np.random.Generator, pool: DigitPool, style: SceneStyle) -> list[Digit]:
    """Choose the digits and place them under the style's limits on overlap."""
    low, high = style.count
    wanted = int(rng.integers(low, high + 1))
    digits: list[Digit] = []
    for _ in range(20 * high):
        if len(digits) == wanted:
            break
        anchor = digits[rng.integers(len(digits))] if digits else None
        beside = anchor if rng.random() < style.neighbour_probability else None
        digit = _new_digit(rng, pool, style)
        if not _place(rng, digit, digits, style, beside):
            continue
        digits.append(digit)
        if len(digits) < wanted and rng.random() < style.twin_probability:
            twin = _new_twin(rng, pool, style, digit)
            if _place(rng, twin, digits, style, digit):
                digits.append(twin)
    if len(digits) < low:
        raise RuntimeError(
            f"only {len(digits)} of at least {low} digits fit into a scene of {style}"
        )
    return digits


def _new_digit(rng: np.random.Generator, pool: DigitPool, style: SceneStyle) -> Digit:
    label = int(rng.integers(len(CLASS_NAMES)))
    source = int(rng.choice(pool.by_class[label]))
    height = int(rng.integers(style.height[0], style.height[1] + 1))
    return Digit(label, source, _render(rng, pool, style, source, height), _new_ink(rng))


def _new_twin(rng: np.random.Generator, pool: DigitPool, style: SceneStyle, first: Digit) -> Digit:
    """Another image of the class of ``first``, of about its size."""
    others = pool.by_class[first.label]
    source = int(rng.choice(others[others != first.source]))
    height = int(np.clip(round(first.alpha.shape[0] * rng.uniform(*TWIN_HEIGHT)), *style.height))
    ink = first.ink if rng.random() < TWIN_SAME_INK else _new_ink(rng)
    return Digit(first.label, source, _render(rng, pool, style, source, height), ink)


def _render(
    rng: np.random.Generator, pool: DigitPool, style: SceneStyle, source: int, height: int
) -> np.ndarray:
    looks = {
        "angle": rng.uniform(-ANGLE, ANGLE),
        "aspect": rng.uniform(*ASPECT),
        "thinness": rng.uniform(*THINNESS),
    }
    glyph = render_glyph(pool.masters[source], height, **looks)
    if glyph.shape[0] < style.height[0]:
        glyph = render_glyph(pool.masters[source], height + 1, **looks)
    return glyph


def _new_ink(rng: np.random.Generator) -> Ink:
    cast = rng.uniform(-CHROMA, CHROMA, 3).astype(np.float32)
    return Ink(
        contrast=float(rng.uniform(*CONTRAST) * rng.choice([-1, 1]) * LEVELS),
        chroma=cast - cast @ LUMA,  # no luminance of its own
        opacity=float(rng.uniform(*OPACITY)),
    )


def _place(
    rng: np.random.Generator,
    digit: Digit,
    others: list[Digit],
    style: SceneStyle,
    beside: Digit | None,
) -> bool:
    """Find a free position for ``digit``; False if a bounded number of tries found none."""
    height, width = digit.alpha.shape
    for _ in range(PLACEMENT_TRIES):
        if beside is None:
            digit.x = int(rng.integers(style.size - width + 1))
            digit.y = int(rng.integers(style.size - height + 1))
        else:
            digit.x, digit.y = _position_beside(rng, digit, beside)
        x1, y1, x2, y2 = digit.box
        if x1 < 0 or y1 < 0 or x2 > style.size or y2 > style.size:
            continue
        below = [other for other in others if _overlap(other, digit)]
        if not all(_fair(other, digit, style) for other in below):
            continue
        visible = [_cover(other, digit) for other in below]
        if all(_readable(other, left, style) for other, left in zip(below, visible, strict=True)):
            for other, left in zip(below, visible, strict=True):
                other.visible = left
            digit.visible = digit.alpha
            return True
    return False


def _position_beside(rng: np.random.Generator, digit: Digit, beside: Digit) -> tuple[int, int]:
    """A position that touches ``beside`` on one of its four sides."""
    along = int(rng.random() < 0.3)  # the axis on which they touch: mostly x, as in writing
    shift = rng.uniform(-NEIGHBOUR_SHIFT, NEIGHBOUR_SHIFT, 2)
    shift[along] = rng.choice([-1, 1]) * rng.uniform(*NEIGHBOUR_GAP)
    corner = []
    for axis, low in enumerate((beside.x, beside.y)):
        own, other = digit.alpha.shape[1 - axis], beside.alpha.shape[1 - axis]
        centre = low + other / 2 + shift[axis] * (own + other) / 2
        corner.append(round(centre - own / 2))
    return corner[0], corner[1]


def _overlap(first: Digit, second: Digit) -> int:
    """Area that two boxes share."""
    (ax1, ay1, ax2, ay2), (bx1, by1, bx2, by2) = first.box, second.box
    return max(0, min(ax2, bx2) - max(ax1, bx1)) * max(0, min(ay2, by2) - max(ay1, by1))


def _fair(first: Digit, second: Digit, style: SceneStyle) -> bool:
    """Whether two boxes keep the limits on IoU and containment."""
    overlap = _overlap(first, second)
    areas = first.alpha.size, second.alpha.size
    return overlap <= min(
        style.max_iou * (sum(areas) - overlap), style.max_containment * min(areas)
    )


def _cover(below: Digit, above: Digit) -> np.ndarray:
    """What remains visible of ``below`` when ``above`` is drawn over it; their boxes overlap."""
    (ax1, ay1, ax2, ay2), (bx1, by1, bx2, by2) = above.box, below.box
    x1, y1, x2, y2 = max(ax1, bx1), max(ay1, by1), min(ax2, bx2), min(ay2, by2)
    visible = below.visible.copy()
    window = above.alpha[y1 - ay1 : y2 - ay1, x1 - ax1 : x2 - ax1]
    visible[y1 - by1 : y2 - by1, x1 - bx1 : x2 - bx1] *= 1 - window
    return visible


def _readable(digit: Digit, visible: np.ndarray, style: SceneStyle) -> bool:
    return visible.sum() >= style.min_visible * digit.alpha.sum()


def _draw(image: np.ndarray, digit: Digit) -> None:
    """Blend a digit into ``image``; its ink keeps the contrast to the paper that lies below it."""
    x1, y1, x2, y2 = digit.box
    window = image[y1:y2, x1:x2]
    paper = float((window[digit.alpha >= INK_THRESHOLD] @ LUMA).mean())
    step = digit.ink.contrast
    if not 0 <= paper + step <= LEVELS:  # no room on this side
        step = -step
    colour = np.clip(paper + step + digit.ink.chroma, 0, LEVELS)
    alpha = (digit.alpha * np.float32(digit.ink.opacity))[..., None]
    window += alpha * (colour - window)
