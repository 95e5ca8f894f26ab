"""Backbones beside those of Detectron2; importing it registers them."""

from . import resnet, timm

__all__ = ["resnet", "timm"]
