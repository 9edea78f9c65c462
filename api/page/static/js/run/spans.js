// The statuses and steps of a run as stretches of time: read page by page, and later only what came since.
import { signal } from "../html.js";
import { executionPath, get } from "../api.js";
import { duration, ms, preciseTime } from "../format.js";
import { LABELS } from "../statuses.js";
import { growing } from "../growing.js";

/** Steps at most: more rows than anybody scrolls through. Statuses are all there. */
export const MOST_STEPS = 20_000;

export class Spans {
  /** `{ statuses, steps }`, the steps as they stand below each other; null until they are read to the end. */
  read = signal(null);
  /** Whether there are more steps than are read. */
  cut = signal(false);
  #statuses = [];
  #steps = new Map();
  #outermost = [];
  #from = 1;

  constructor(jobId) {
    this.jobId = jobId;
  }

  /** Read what there is behind that which was read. */
  grow = growing(async (signal) => {
    await this.#readOn(signal);
    this.read.value = { statuses: [...this.#statuses], steps: this.#rows() };
  });

  async #readOn(signal) {
    for (let more = true; more; ) {
      // Once there are enough, the rest of a long run is read for its statuses alone; what comes later may end a step.
      const steps = !this.cut.peek() || this.read.peek() !== null;
      const page = await get(executionPath(this.jobId, "/spans"), { from_version: this.#from, steps }, { signal });
      this.#add(page);
      this.#from = page.version + 1;
      more = page.next_version !== null;
    }
  }

  #add({ statuses, steps, ended }) {
    const last = this.#statuses.at(-1);
    if (last && statuses.length) close(last, statuses[0].started_at);
    this.#statuses.push(...statuses);
    for (const step of steps) {
      if (this.#steps.size >= MOST_STEPS) {
        this.cut.value = true;
        break;
      }
      const parent = this.#steps.get(step.parent_step_id);
      const row = { ...step, depth: parent ? parent.depth + 1 : 0, begin: ms(step.started_at), end: step.finished_at && ms(step.finished_at), inside: [] };
      this.#steps.set(step.step_id, row);
      (parent?.inside ?? this.#outermost).push(row);
    }
    for (const { step_id: id, version, finished_at: at, outcome, error } of ended) {
      const step = this.#steps.get(id);
      if (step) close(Object.assign(step, { outcome, error, finished_version: version, end: ms(at) }), at);
    }
  }

  #rows() {
    const rows = [];
    const waiting = [...this.#outermost].reverse();
    while (waiting.length) {
      const step = waiting.pop();
      rows.push(step);
      for (let at = step.inside.length - 1; at >= 0; at -= 1) waiting.push(step.inside[at]);
    }
    return rows;
  }
}

function close(span, at) {
  span.finished_at = at;
  span.seconds = (ms(at) - ms(span.started_at)) / 1000;
}

/** What a step says that is looked at `until` a time, and the events behind it: `{ title, lines, causes }`. */
export function tellStep(step, until) {
  const { name, kind, version, begin, end } = step;
  if (begin > until) return { title: name, lines: [kind, "has not begun yet"], causes: [] };
  const ended = end !== null && end <= until;
  const causes = [{ version, did: "began this" }, { version: ended ? step.finished_version : null, did: "ended this" }];
  return {
    title: name,
    lines: [
      [kind, LABELS[(ended && step.outcome) || "open"]].filter(Boolean).join(" · "),
      `${preciseTime(step.started_at)} · ${duration(ended ? step.seconds : null)}`, (ended && step.error) || "",
    ],
    causes: causes.filter((each) => each.version),
  };
}

/** The same of a status. */
export function tellStatus({ status, version, started_at: started, finished_at: finished, seconds }, until) {
  const lasted = finished && ms(finished) <= until ? seconds : null;
  return { title: LABELS[status], lines: [preciseTime(started), duration(lasted)], causes: [{ version, did: "set this" }] };
}
