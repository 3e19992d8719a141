"""Arithmetic for knitters."""

from purl.row import count, expand
from purl.spacing import instruction, spread

__all__ = ["count", "expand", "instruction", "spread"]
