// The runs of a stretch of time, and what became of them in it.
import { get } from "../api.js";
import { clockTime, ms, number } from "../format.js";
import { STATUSES, TERMINAL } from "../statuses.js";

const PAGE = 1000;
/** Of those that began in the window, and of each that began before it and is under way, or ended since. */
const MOST_RUNS = 10_000;
const MOST_EARLIER = 2_000;
const MOST_EVENTS = 30_000;
const ACTIVE = STATUSES.filter((status) => !TERMINAL.has(status));
/** Events that can change a status. */
const TURNS = [
  "created", "prepared", "started", "approval_requested", "approved", "rejected", "stop_requested", "stopped", "completed",
  "failed", "cancelled", "corrected", "details_changed", "deleted",
];

const iso = (time) => new Date(time).toISOString();

/** What the canvas draws of a run. */
export const toBar = (run) => ({
  job_id: run.job_id, name: run.run_name || run.job_id, kind: run.execution_type ?? "", status: run.status,
  error: run.error, created: ms(run.created_at), started: run.started_at ? ms(run.started_at) : null,
  end: run.completed_at ? ms(run.completed_at) : null,
});

async function pages(parameters, signal, most, onPage) {
  const found = [];
  let cursor;
  do {
    const page = await get("executions", { ...parameters, limit: PAGE, total: false, cursor }, { signal });
    found.push(...page.executions);
    cursor = page.next_cursor;
    onPage?.(found.length);
  } while (cursor && found.length < most);
  return { runs: found, cut: Boolean(cursor) };
}

/** Runs that began before a time and were under way at it: those that still are, and those that ended since. */
async function loadEarlier(time, signal) {
  const began = { created_before: iso(time) };
  // In this order: what ends in between is found twice, not missed.
  const active = await pages({ ...began, status: ACTIVE }, signal, MOST_EARLIER);
  const ended = await pages({ ...began, ended_from: iso(time) }, signal, MOST_EARLIER);
  return { runs: [...active.runs, ...ended.runs], cut: active.cut || ended.cut };
}

/** Runs that began in the window, and those that began before it and were under way when it began. */
export async function loadRuns({ from, to }, signal, onPage) {
  const [recent, earlier] = await Promise.all([
    pages({ created_from: iso(from), created_before: iso(to) }, signal, MOST_RUNS, onPage),
    loadEarlier(from, signal),
  ]);
  const bars = new Map([...earlier.runs, ...recent.runs].map((run) => [run.job_id, toBar(run)]));
  const cuts = [];
  if (recent.cut) cuts.push(`More than ${number(MOST_RUNS)} runs began in this time: the oldest are not drawn.`);
  if (earlier.cut) cuts.push(`More than ${number(MOST_EARLIER)} runs that began before it were under way: the oldest are not drawn.`);
  return { bars: [...bars.values()], cuts };
}

/** The same runs with every turn that their statuses took in the window: `turns` is `[time, status]`, in order. */
export async function loadReplay({ from, to }, signal, onPage) {
  const [{ bars, cuts }, before] = await Promise.all([
    loadRuns({ from, to }, signal, onPage),
    pages({ as_of: iso(from), status: ACTIVE }, signal, MOST_EARLIER),
  ]);
  const byJob = new Map(bars.map((bar) => [bar.job_id, { ...bar, turns: [] }]));
  for (const run of before.runs) {
    if (!byJob.has(run.job_id)) byJob.set(run.job_id, { ...toBar(run), turns: [] });
    byJob.get(run.job_id).turns.push([from, run.status]);
  }
  const story = [];
  let after;
  let seen = 0;
  do {
    const asked = { type: TURNS, recorded_from: iso(from), recorded_before: iso(to), order: "oldest", limit: PAGE, after };
    const page = await get("events", asked, { signal });
    for (const event of page.events) {
      const at = ms(event.recorded_at);
      const status = event.type === "execution.deleted" ? "cancelled" : event.data?.status;
      if (!status) continue;
      if (!byJob.has(event.job_id)) {
        const made = { job_id: event.job_id, name: event.data.run_name || event.job_id, kind: event.data.execution_type ?? "" };
        byJob.set(event.job_id, { ...made, status, created: at, started: null, end: null, turns: [] });
      }
      const bar = byJob.get(event.job_id);
      bar.turns.push([at, status]);
      story.push({ at, status, job_id: event.job_id, name: bar.name, actor: event.actor, error: event.data?.error });
    }
    seen += page.events.length;
    after = page.next_after;
    onPage?.(byJob.size, seen);
  } while (after && seen < MOST_EVENTS);
  for (const bar of byJob.values()) {
    const last = bar.turns.at(-1);
    if (last && TERMINAL.has(last[1])) bar.end = last[0];
    if (bar.turns.length) bar.created = Math.min(bar.created, bar.turns[0][0]);
  }
  // What was not read has not happened: a replay that went on would show runs as they were.
  const until = after ? story.at(-1).at : to;
  if (after) cuts.push(`Only the first ${number(story.length)} changes of status are played, up to ${clockTime(until)}.`);
  if (before.cut) cuts.push(`More than ${number(MOST_EARLIER)} runs were under way when it began: the oldest are not played.`);
  return { bars: [...byJob.values()], story, until, cuts };
}

/** The status that a run had at a time; null before it was there. */
export function statusAt(bar, time) {
  let status = null;
  for (const [at, next] of bar.turns) {
    if (at > time) break;
    status = next;
  }
  return status;
}
