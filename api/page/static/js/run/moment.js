// Which moment of a run is shown, and how it was then. The slider, the player and every panel look at this.
import { batch, computed, signal } from "../html.js";
import { executionPath, get } from "../api.js";
import { ms } from "../format.js";
import { setParams } from "../router.js";
import { EventPages } from "./event_pages.js";
import { Notes } from "./notes.js";
import { Spans } from "./spans.js";

export class RunModel {
  /** The run as it is now; of a deleted one, as it was before that. */
  current = signal(null);
  problem = signal(null);
  /** The version that is shown; null for now, and whatever comes. */
  version = signal(null);
  /** The run as it was at that version: what the panels show. */
  shown = signal(null);
  deleted = signal(false);
  last = computed(() => this.current.value?.version ?? 0);
  at = computed(() => this.version.value ?? this.last.value);
  isNow = computed(() => this.version.value === null);
  /** The version that the state shown is of: at its last event a deleted run is no more, so that the one before counts. */
  stateVersion = computed(() => this.at.value - (this.deleted.value && this.isNow.value ? 1 : 0));
  /** Which value is asked about: `{ field, place, kept }`. */
  asked = signal(null);
  /** The time of the moment, in milliseconds; null for now. */
  time = computed(() => (this.isNow.value || !this.shown.value ? null : ms(this.shown.value.updated_at)));
  #asking = null;
  #wanted = null;
  #closed = new AbortController();

  constructor(jobId) {
    this.jobId = jobId;
    this.events = new EventPages(jobId);
    this.notes = new Notes(jobId);
    this.spans = new Spans(jobId);
  }

  close() {
    this.#closed.abort();
    this.events.close();
  }

  /** Read it, and again when something has happened; `at` is the version to begin with. */
  async load(at = null) {
    const { signal } = this.#closed;
    try {
      const run = await this.#readCurrent(signal);
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
      if (!signal.aborted) this.problem.value = problem;
    }
  }

  async #readCurrent(signal) {
    try {
      return await get(executionPath(this.jobId), {}, { signal });
    } catch (problem) {
      if (problem.status !== 404) throw problem;
      const { events } = await get("events", { job_id: this.jobId, limit: 1 }, { signal });
      if (!events.length) throw problem;
      this.deleted.value = true;
      const before = await get(executionPath(this.jobId), { version: events[0].version - 1 }, { signal });
      return { ...before, version: events[0].version };
    }
  }

  /** Show another moment; `keep` writes it into the URL, so that the link shows the same. */
  moveTo(version, { keep = true } = {}) {
    const last = this.last.peek();
    const next = version === null || version >= last ? null : Math.max(1, Math.round(version));
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
    if (time >= Date.now()) return this.moveTo(null);
    try {
      const as_of = new Date(Math.max(time, ms(first.created_at))).toISOString();
      const found = await get(executionPath(this.jobId), { as_of }, { signal: this.#closed.signal });
      this.moveTo(found.version);
    } catch {
      this.moveTo(1);
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
      } catch (problem) {
        if (!signal.aborted) this.problem.value = problem;
      }
    }
    this.#asking = null;
  }
}
