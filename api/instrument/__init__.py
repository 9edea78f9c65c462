"""Record what a program does: `@ledger.recorded`, `with ledger.execution(…)`, `with step(…)`, and a log handler."""

from .ledger import Ledger
from .log_handler import NotesHandler
from .runs import Run, Step, current_run, step

__all__ = ["Ledger", "NotesHandler", "Run", "Step", "current_run", "step"]
