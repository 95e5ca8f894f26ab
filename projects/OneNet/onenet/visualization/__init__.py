"""Pictures: detections, learning curves, and where the positive samples are."""

from ..inspection.positives import PositiveSamples, positive_samples
from ..inspection.subjects import UNTRAINED, build_variant, load_moment, look_at
from .assignment import draw_positive_samples, positives_figure
from .comparison import Panel, comparison_figure, draw_assignment
from .curves import plot_curves
from .detections import Scene, correct_detections, draw_detections, draw_truth, scene_sheet
from .draw import draw_boxes, nth_color, panel_grid, save_figure, show_image
from .gallery import draw_gallery, gallery_files, input_image
from .outcome import outcome_sheet
from .sample_map import HEATS

__all__ = [
    "HEATS",
    "UNTRAINED",
    "Panel",
    "PositiveSamples",
    "Scene",
    "build_variant",
    "comparison_figure",
    "correct_detections",
    "draw_assignment",
    "draw_boxes",
    "draw_detections",
    "draw_gallery",
    "draw_positive_samples",
    "draw_truth",
    "gallery_files",
    "input_image",
    "load_moment",
    "look_at",
    "nth_color",
    "outcome_sheet",
    "panel_grid",
    "plot_curves",
    "positive_samples",
    "positives_figure",
    "save_figure",
    "scene_sheet",
    "show_image",
]
