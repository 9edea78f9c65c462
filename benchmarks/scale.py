"""How much is measured."""

from __future__ import annotations

from dataclasses import dataclass, replace

PAYLOADS = ("small", "2 KB")


@dataclass(frozen=True)
class Scale:
    """Sizes of all scenarios. The targets are about the default ones."""

    fsync: bool = True
    rounds: int = 5
    """Rounds that count, after one that warms up."""
    seconds: float = 1.2
    """How long a contender's clients go on in one round."""
    clients: tuple[int, ...] = (1, 8, 64)
    payloads: tuple[str, ...] = PAYLOADS
    """Those of the updates; bulk creation has both anyway."""
    executions: int = 128
    """Fresh executions of each contender in each round, shared out among its clients: runs stay of ordinary length."""
    idle_ledgers: int = 10_000
    busy_ledgers: int = 64
    bulk: int = 20_000
    """Executions created in one round."""
    ledger_sizes: tuple[int, ...] = (1_000, 100_000, 1_000_000)
    """Events in the ledger."""
    run_lengths: tuple[int, int] = (10, 10_000)
    """Events in each of the runs that are changed."""
    flat_updates: int = 800
    """Updates through the repository in one round of a flatness; through the writer it is four times as many."""
    snapshot_updates: int = 30_000
    """Updates while the old snapshot is held."""

    upkeep_sizes: tuple[int, int] = (100_000, 1_000_000)
    """Events in the ledgers that are rebuilt and verified."""

    import_sizes: tuple[int, int] = (100_000, 1_000_000)
    """Rows of the tables, and events of the backups, that are imported."""

    list_sizes: tuple[int, int] = (10_000, 1_000_000)
    """Runs in the ledgers that are listed."""
    audit_sizes: tuple[int, ...] = (1_000_000,)
    """Events in those that are audited."""
    audit_page: int = 1_000
    """The page far down."""
    pages: int = 100
    """Pages read in one round."""

    subscribers: int = 100
    """Who follow the service's feed at once."""
    fan_out_events: int = 100
    """Events that they are sent in one round."""

    @property
    def is_full(self) -> bool:
        """Whether the targets are about it: everything in its size, and rounds enough."""
        full = Scale()
        return self.rounds >= full.rounds and replace(self, rounds=full.rounds, seconds=full.seconds) == full

    @property
    def most_clients(self) -> int:
        """The clients of the scenarios that know only one number of them."""
        return self.clients[-1]


QUICK = Scale(
    fsync=False,
    rounds=1,
    seconds=0.01,
    clients=(1, 2, 4),
    payloads=PAYLOADS[1:],
    executions=4,
    idle_ledgers=20,
    busy_ledgers=4,
    bulk=50,
    ledger_sizes=(100, 200, 400),
    run_lengths=(2, 20),
    flat_updates=8,
    snapshot_updates=60,
    upkeep_sizes=(40, 80),
    import_sizes=(40, 80),
    list_sizes=(200, 400),
    audit_sizes=(1_200,),
    audit_page=3,
    pages=2,
    subscribers=2,
    fan_out_events=3,
)
"""Whether everything runs; its numbers mean nothing."""
