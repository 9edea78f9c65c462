"""What keeps projections up to date, tells how they are doing, and hands on events as they come."""

from .checkpoints import Quarantined
from .control import ProjectionControl, ProjectionStatus
from .feed import Feed, Subscription
from .heads import Heads
from .projector import Projector
from .protocol import Projection

__all__ = [
    "Feed",
    "Heads",
    "Projection",
    "ProjectionControl",
    "ProjectionStatus",
    "Projector",
    "Quarantined",
    "Subscription",
]
