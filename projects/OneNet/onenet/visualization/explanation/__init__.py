"""A page to click through: which samples are positive for an object, and why others are not."""

from .content import Scene, View
from .page import explanation_page
from .scenes import explain_scene

__all__ = ["Scene", "View", "explain_scene", "explanation_page"]
