"""What every scenario is given."""

from __future__ import annotations

from dataclasses import dataclass

from rich.console import Console

from .scale import Scale
from .stores import Stores


@dataclass(frozen=True)
class World:
    """Where and how much to measure."""

    stores: Stores
    scale: Scale
    console: Console
