"""Three hours at a company, as a ledger: for tests of the page, and for its screenshots."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from execution_ledger.domain import (
    Command,
    Context,
    Correct,
    Create,
    FinishStep,
    Note,
    StartStep,
    Update,
)
from execution_ledger.infrastructure import EventStore, Request, create_sync_engine

HOURS = 3
CLOSE, CLOSE_BEFORE = "close-2026-q1", "close-2025-q4"
"""Two runs of the same job, with steps, notes, an approval and a correction; they part at one step."""
MARKUP = "<img src=x onerror=alert(1)>"
"""The job id of a run whose every text holds HTML and script."""
WAITING = "payout-needs-approval"
RUNNING = "train-fraud-model"

_JOBS = (
    ("refresh dashboards", "schedule", "flow", "scheduler", 40),
    ("index products", "schedule", "pipeline", "scheduler", 70),
    ("customer report", "manual", "script", "ada", 15),
    ("score invoices", "event", "crew", "invoices-api", 25),
    ("payout batch", "event", "pipeline", "billing", 55),
    ("support triage", "event", "crew", "helpdesk", 12),
)
_ERRORS = ("warehouse-3 refused the connection", "timed out after 300 s", "no space left on /data/7")


class _Told(NamedTuple):
    at: datetime
    job_id: str
    command: Command
    actor: str | None
    reason: str | None
    correlation_id: str | None


class Day:
    """The commands of these hours, in the order of their time."""

    def __init__(self, now: datetime | None = None, runs: int = 360, markup: bool = True) -> None:
        self.now = now or datetime.now(UTC)
        self.begin = self.now - timedelta(hours=HOURS)
        self._random = random.Random(7)
        self._told: list[_Told] = []
        for number in range(runs):
            self._ordinary(number, self.begin + timedelta(hours=HOURS) * (number / runs))
        for job_id, ago, ends_ago in ((CLOSE_BEFORE, 150, 128), (CLOSE, 64, 41)):
            self._close(job_id, self.now - timedelta(minutes=ago), self.now - timedelta(minutes=ends_ago))
        self._training()
        self._waiting()
        if markup:
            self._markup()

    def write(self, url: str, ledger: str = "default") -> None:
        """Record all of it, by a clock that tells the time of each command."""
        at = self.begin
        store = EventStore(clock=lambda: at)
        engine = create_sync_engine(url)
        with engine.connect() as connection:
            for told in sorted(self._told, key=lambda each: each.at):
                at = told.at
                context = Context(actor=told.actor, reason=told.reason, correlation_id=told.correlation_id)
                store.execute(connection, Request(ledger, told.job_id, told.command, context))
                connection.commit()
        engine.dispose()

    def _tell(
        self,
        at: datetime,
        job_id: str,
        command: Command,
        actor: str | None = None,
        reason: str | None = None,
        correlation_id: str | None = None,
    ) -> None:
        if at < self.now:
            self._told.append(_Told(at, job_id, command, actor, reason, correlation_id))

    def _create(self, at: datetime, job_id: str, actor: str | None, **details: Any) -> None:
        self._tell(at, job_id, Create.of({"job_id": job_id, **details}), actor, correlation_id=f"order-{len(job_id)}")

    def _update(self, at: datetime, job_id: str, actor: str | None, reason: str | None = None, **fields: Any) -> None:
        self._tell(at, job_id, Update.of(fields), actor, reason)

    def _ordinary(self, number: int, at: datetime) -> None:
        chance = self._random
        name, trigger, kind, actor, seconds = chance.choice(_JOBS)
        job_id = f"{name.replace(' ', '-')}-{number:04d}"
        attempt = 1 if chance.random() < 0.93 else chance.randint(2, 4)
        self._create(
            at, job_id, actor, run_name=name, trigger_type=trigger, execution_type=kind, attempt=attempt,
            inputs={"batch": number, "region": chance.choice(["eu", "us", "apac"])},
            attributes={"team": chance.choice(["finance", "data", "support"])},
        )  # fmt: skip
        began = at + timedelta(seconds=chance.uniform(0.2, 6))
        took = timedelta(seconds=max(1.5, chance.lognormvariate(0, 0.7) * seconds))
        self._update(began, job_id, f"worker-{chance.randint(1, 4)}", status="running")
        self._tell(began + took * 0.1, job_id, StartStep.of("read", name="read", kind="task"), actor)
        read = FinishStep.of("read", result={"rows": chance.randint(100, 9000)})
        self._tell(began + took * 0.45, job_id, read, actor)
        self._update(began + took * 0.6, job_id, "worker", progress=0.6, message="writing")
        ended = began + took
        incident = self.now - timedelta(minutes=52) < ended < self.now - timedelta(minutes=38)
        if chance.random() < (0.62 if incident else 0.035):
            error = _ERRORS[0] if incident else chance.choice(_ERRORS)
            self._update(ended, job_id, "worker", status="failed", error=error)
        elif chance.random() < 0.02:
            self._update(ended, job_id, "ops", "costs too much", status="cancelled", stop_reason="costs too much")
        else:
            self._update(ended, job_id, "worker", status="completed", result={"rows": chance.randint(100, 9000)})

    def _close(self, job_id: str, at: datetime, end: datetime) -> None:
        ok = job_id == CLOSE_BEFORE
        length = end - at
        self._create(
            at, job_id, "grace", run_name="quarterly close", trigger_type="manual", execution_type="flow",
            inputs={"entities": ["de", "uk", "us"], "dry_run": False},
            attributes={"team": "finance", "quarter": job_id.removeprefix("close-")},
        )  # fmt: skip
        self._update(at + length * 0.01, job_id, "worker-2", status="preparing", message="checking the books")
        self._update(at + length * 0.03, job_id, "worker-2", status="running", message="collecting")
        for step_id, parent, begin, finish in _STEPS:
            self._tell(
                at + length * begin, job_id,
                StartStep.of(step_id, name=step_id.rpartition("/")[2], kind="task", parent_step_id=parent), "worker-2",
            )  # fmt: skip
            bad = not ok and step_id == "consolidate/us"
            error = "rate of 2026-03-31 is missing" if bad else None
            result = None if bad else {"entries": int(begin * 9000), "balanced": True}
            self._tell(
                at + length * finish, job_id,
                FinishStep.of(step_id, "failed" if bad else "completed", result=result, error=error), "worker-2",
            )  # fmt: skip
        notes = ("reading 3 entities", "1,204 entries from de", "rates of the ECB as of today", "checking balances")
        for number in range(40):
            text, level = notes[number % 4], "warning" if number % 13 == 12 else "info"
            self._tell(at + length * (0.05 + number * 0.02), job_id, Note.of(text, level=level, source="stdout"))
        for number in range(1, 8):
            self._update(at + length * (0.06 + number * 0.08), job_id, "worker-2", progress=number / 10)
        self._update(at + length * 0.7, job_id, "worker-2", status="waiting_for_approval", message="please check")
        self._update(at + length * 0.84, job_id, "grace", "figures agree with the draft", status="running")
        total = 1_204_332.5 if ok else 1_187_020.25
        result = {"total": total, "by_entity": {"de": 401_000, "uk": 388_020.25, "us": total - 789_020.25}}
        self._update(end, job_id, "worker-2", status="completed", result=result, progress=1.0)
        if not ok:
            corrected = Correct.of({"result": result | {"total": 1_187_000.0, "note": "rounding"}})
            self._tell(end + timedelta(minutes=6), job_id, corrected, "grace", "the total was rounded twice")
        for entity in ("de", "uk", "us"):
            child = f"{job_id}-{entity}"
            begin = at + length * 0.2
            self._create(begin, child, "worker-2", run_name=f"collect {entity}", parent_job_id=job_id)
            self._update(begin + length * 0.02, child, "worker-3", status="running")
            self._update(begin + length * 0.2, child, "worker-3", status="completed", result={"entity": entity})

    def _training(self) -> None:
        at = self.now - timedelta(minutes=17)
        self._create(
            at, RUNNING, "ada", run_name="train fraud model", trigger_type="manual", execution_type="script",
            inputs={"model": "gbt-3", "rows": 1_200_000}, attributes={"team": "data"},
        )  # fmt: skip
        self._update(at + timedelta(seconds=4), RUNNING, "gpu-1", status="running")
        for epoch in range(1, 15):
            begin = at + timedelta(seconds=10 + 70 * (epoch - 1))
            self._tell(begin, RUNNING, StartStep.of(f"epoch-{epoch}", name=f"epoch {epoch}", kind="epoch"), "gpu-1")
            if epoch < 14:
                done = FinishStep.of(f"epoch-{epoch}", result={"loss": round(1 / epoch, 3)})
                self._tell(begin + timedelta(seconds=65), RUNNING, done, "gpu-1")
                self._update(
                    begin + timedelta(seconds=66), RUNNING, "gpu-1", progress=epoch / 20, message=f"epoch {epoch} of 20"
                )

    def _waiting(self) -> None:
        at = self.now - timedelta(minutes=4)
        self._create(
            at, WAITING, "billing", run_name="payout batch", trigger_type="event", execution_type="pipeline",
            inputs={"payouts": 214, "sum": 88_210.4}, attributes={"team": "finance"},
        )  # fmt: skip
        self._update(at + timedelta(seconds=2), WAITING, "worker-1", status="running")
        self._update(
            at + timedelta(seconds=40), WAITING, "worker-1", status="waiting_for_approval", progress=0.5,
            message="3 payouts above 10,000 need a second pair of eyes", partial_results={"checked": 211},
        )  # fmt: skip

    def _markup(self) -> None:
        at, evil = self.now - timedelta(minutes=9), "<script>window.hacked = 1</script><b>bold</b>"
        self._create(at, MARKUP, evil, run_name=evil, inputs={evil: evil}, trigger_type=evil, attributes={evil: evil})
        self._update(at + timedelta(seconds=1), MARKUP, evil, evil, status="running", message=evil)
        self._tell(at + timedelta(seconds=2), MARKUP, StartStep.of(evil, name=evil, kind=evil), evil)
        self._tell(at + timedelta(seconds=3), MARKUP, Note.of(evil, source=evil, data={evil: evil}), evil, evil)
        self._tell(at + timedelta(seconds=4), MARKUP, FinishStep.of(evil, "failed", error=evil), evil)
        self._update(at + timedelta(seconds=5), MARKUP, evil, status="failed", error=evil, result={evil: [evil]})


def _steps() -> Iterator[tuple[str, str | None, float, float]]:
    yield "collect", None, 0.04, 0.3
    for at, entity in enumerate(("de", "uk", "us")):
        yield f"collect/{entity}", "collect", 0.05 + at * 0.04, 0.18 + at * 0.05
    yield "consolidate", None, 0.31, 0.62
    for at, entity in enumerate(("de", "uk", "us")):
        yield f"consolidate/{entity}", "consolidate", 0.32 + at * 0.08, 0.39 + at * 0.1
        yield f"consolidate/{entity}/rates", f"consolidate/{entity}", 0.33 + at * 0.08, 0.35 + at * 0.09
    yield "check", None, 0.63, 0.69
    yield "publish", None, 0.85, 0.99


_STEPS = tuple(_steps())
