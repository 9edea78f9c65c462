// The runs that were read so far, newest first. What arrives meanwhile never moves what is read.
import { signal } from "../html.js";
import { get, isPassing, PATIENCE } from "../api.js";
import { growing } from "../growing.js";
import { known } from "../live.js";
import { asksForEnd, asParameters, endPasses, isFiltered, passes } from "./filters.js";

const PAGE = 100;
const MOST = 1000; // that the service gives at once
const STEPS = new Set(["execution.step_started", "execution.step_finished", "execution.noted", "execution.deleted"]);

export class RunList {
  rows = signal([]);
  state = signal("loading"); // "loading", "ready", "more"
  problem = signal(null);
  /** Runs that would be in the list if it were read again. */
  arrived = signal(0);
  /** Whether reading again might show something else: nobody can tell what. */
  stale = signal(false);
  done = signal(false);
  creators = new Map();
  #cursor = null;
  #controller = new AbortController();
  #closed = false;
  #retry = 0;
  #limit;
  #arrivals = new Set();
  #index = new Map();

  /** `first`: rows that are to be there at first, since somebody was that far down. */
  constructor(filters, first = 0) {
    this.filters = filters;
    this.#limit = Math.min(MOST, Math.max(PAGE, first));
  }

  close() {
    this.#closed = true;
    this.#stop();
  }

  #stop() {
    this.#controller.abort();
    clearTimeout(this.#retry);
  }

  /** Read the newest, and forget the rest. Meanwhile nothing gives it up, or a busy ledger would never be shown. */
  refresh = growing(async () => {
    if (this.#closed) return;
    this.#stop();
    this.#controller = new AbortController();
    await this.#read(null, []);
  });

  /** Read on where the list ends. */
  async more() {
    if (this.state.peek() !== "ready" || this.done.peek()) return;
    this.state.value = "more";
    await this.#read(this.#cursor, this.rows.peek());
  }

  async #read(cursor, before) {
    const { signal } = this.#controller;
    try {
      const asked = { ...asParameters(this.filters), cursor, limit: this.#limit, total: false, creators: true };
      await known();
      const page = await get("executions", asked, { signal });
      if (signal.aborted) return;
      for (const [jobId, actor] of Object.entries(page.creators)) this.creators.set(jobId, actor);
      this.#limit = PAGE;
      if (!cursor) {
        this.#index.clear();
        this.#arrivals.clear();
        this.arrived.value = 0;
        this.stale.value = false;
      }
      page.executions.forEach((run, at) => this.#index.set(run.job_id, before.length + at));
      this.rows.value = [...before, ...page.executions];
      this.#cursor = page.next_cursor;
      // Without a total, a full page tells of a next one.
      this.done.value = !page.next_cursor;
      this.problem.value = null;
      this.state.value = "ready";
    } catch (problem) {
      if (signal.aborted) return;
      this.problem.value = problem;
      this.state.value = "ready";
      if (isPassing(problem)) this.#retry = setTimeout(() => (cursor ? this.more() : this.refresh()), PATIENCE);
    }
  }

  /** Take in what happened: rows change where they stand. Whether the list would be another if it were read again. */
  hear(events) {
    let rows = null;
    let left = false;
    for (const event of events) {
      const at = this.#index.get(event.job_id);
      if (at === undefined) {
        this.#hearOther(event);
        continue;
      }
      rows ??= [...this.rows.peek()];
      const row = rows[at];
      if (row.version >= event.version) continue;
      const changes = STEPS.has(event.type) ? {} : event.data;
      rows[at] = { ...row, ...changes, version: event.version, updated_at: event.recorded_at, heard: Date.now() };
      if (event.type === "execution.deleted") rows[at].deleted = true;
      else left ||= !passes(this.filters, rows[at]);
    }
    if (rows) this.rows.value = rows;
    this.arrived.value = this.#arrivals.size;
    return left || this.stale.peek() || this.#arrivals.size > 0;
  }

  /** Of an execution that is not in the list: whether it belongs there now. */
  #hearOther({ type, job_id, data }) {
    if (type === "execution.created") {
      if (passes(this.filters, { ...data, job_id })) this.#arrivals.add(job_id);
      return;
    }
    const { status, ended_from, ended_before, ...others } = this.filters;
    if (!data?.status || (!status.length && !asksForEnd(this.filters))) return;
    const fits = (!status.length || status.includes(data.status)) && endPasses(this.filters, data.completed_at);
    if (!fits) this.#arrivals.delete(job_id);
    else if (isFiltered(others)) this.stale.value = true; // its name is not told here
    else this.#arrivals.add(job_id);
  }
}
