"""Datasets, their checks and the mapper that turns them into training samples."""

from .build import ensure_digits
from .builtin import register_digits

__all__ = ["ensure_digits", "register_digits"]

register_digits()
