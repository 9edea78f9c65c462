// Which moment of a run is shown, and how it was then. The slider, the player and every panel look at this.
import { batch, computed, signal } from "../html.js";
import { executionPath, get, isPassing, PATIENCE } from "../api.js";
import { ms } from "../format.js";
import { setParams } from "../router.js";
import { say } from "../ui/basics.js";
import { EventPages } from "./event_pages.js";
import { Notes } from "./notes.js";
import { Spans } from "./spans.js";

export class RunModel {
  /** The run as it is now; of a deleted one, as it was before that. */
  current = signal(null);
  /** Why it, or the moment that is asked for, cannot be shown. */
  problem = signal(null);
  /** The version that is shown; null for now, and whatever comes. */
  version = signal(null);
  /** The run as it was at that version: what the panels show. */
  shown = signal(null);
  deleted = signal(false);
  /** When it was deleted, in milliseconds. */
  deletedAt = signal(null);
  last = computed(() => this.current.value?.version ?? 0);
  at = computed(() => this.version.value ?? this.last.value);
  isNow = computed(() => this.version.value === null);
  /** The version that the state shown is of: at its last event a deleted run is no more, so that the one before counts. */
  stateVersion = computed(() => this.at.value - (this.deleted.value && this.isNow.value ? 1 : 0));
  /** Whether the state shown is still that of another moment. */
  behind = computed(() => Boolean(this.shown.value) && this.shown.value.version !== this.at.value);
  /** Which value is asked about: `{ field, place, kept }`. */
  asked = signal(null);
  /** The time of the moment, in milliseconds; null for now. */
  time = computed(() => (this.isNow.value || !this.shown.value ? null : ms(this.shown.value.updated_at)));
  #asking = null;
  #wanted = null;
  #closed = new AbortController();
  #retry = 0;

  constructor(jobId) {
    this.jobId = jobId;
    this.events = new EventPages(jobId);
    this.notes = new Notes(jobId);
    this.spans = new Spans(jobId);
  }

  close() {
    this.#closed.abort();
    clearTimeout(this.#retry);
    this.events.close();
  }

  /** Read it, and again when something has happened; `at` is the version to begin with. */
  async load(at = null) {
    const { signal } = this.#closed;
    try {
      const run = await this.#readCurrent(signal);
      if (run.version < this.last.peek()) return; // it was overtaken by a later answer
      batch(() => {
        this.current.value = run;
        if (at !== null && at >= 1 && at < run.version) this.version.value = Math.round(at);
        if (this.isNow.peek()) this.shown.value = run;
        this.problem.value = null;
      });
      this.events.grow(run.version);
      if (!this.isNow.peek()) this.#show();
      await this.spans.grow(signal);
      await this.notes.grow(signal);
    } catch (problem) {
      if (!signal.aborted) this.#fail(problem, () => this.load());
    }
  }

  #fail(problem, again) {
    this.problem.value = problem;
    clearTimeout(this.#retry);
    if (isPassing(problem)) this.#retry = setTimeout(again, PATIENCE);
  }

  async #readCurrent(signal) {
    try {
      return await get(executionPath(this.jobId), {}, { signal });
    } catch (problem) {
      if (problem.status !== 404) throw problem;
      const { events } = await get("events", { job_id: this.jobId, limit: 1 }, { signal });
      if (!events.length) throw problem;
      this.deleted.value = true;
      this.deletedAt.value = ms(events[0].recorded_at);
      const before = await get(executionPath(this.jobId), { version: events[0].version - 1 }, { signal });
      return { ...before, version: events[0].version };
    }
  }

  /** Show another moment; `keep` writes it into the URL, so that the link shows the same. */
  moveTo(version, { keep = true } = {}) {
    const last = this.last.peek();
    const next = version === null || Number.isNaN(version) || version >= last ? null : Math.max(1, Math.round(version));
    batch(() => {
      this.version.value = next;
      if (next === null) this.shown.value = this.current.peek();
    });
    if (keep) setParams({ at: next });
    if (next !== null) this.#show();
  }

  async moveToTime(time) {
    const first = this.current.peek();
    if (!first) return;
    if (time >= (this.deletedAt.peek() ?? Date.now())) return this.moveTo(null);
    try {
      const as_of = new Date(Math.max(time, ms(first.created_at))).toISOString();
      const found = await get(executionPath(this.jobId), { as_of }, { signal: this.#closed.signal });
      this.moveTo(found.version);
    } catch (problem) {
      if (problem.status === 404) this.moveTo(1); // within the millisecond in which it was created
      else say(problem.message, "bad");
    }
  }

  /** One question at a time: while it is under way only the newest wish is remembered. */
  async #show() {
    this.#wanted = this.version.peek();
    if (this.#asking) return;
    const { signal } = this.#closed;
    while (this.#wanted !== null && !signal.aborted) {
      const version = this.#wanted;
      this.#wanted = null;
      try {
        this.#asking = get(executionPath(this.jobId), { version }, { signal });
        const run = await this.#asking;
        if (this.version.peek() !== null) this.shown.value = run;
        this.problem.value = null;
      } catch (problem) {
        if (!signal.aborted) this.#fail(problem, () => this.version.peek() !== null && this.#show());
      }
    }
    this.#asking = null;
  }
}
