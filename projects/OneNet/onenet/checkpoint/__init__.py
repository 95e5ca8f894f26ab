"""Reading, checking, locating and converting weights."""

from .checkpointer import Checkpointer

__all__ = ["Checkpointer"]
