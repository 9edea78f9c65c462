// The events of a run, read where they are looked at: versions are 1, 2, 3 … without gaps, so any page can be asked for.
import { signal } from "../html.js";
import { executionPath, get, isPassing, PATIENCE } from "../api.js";

const SIZE = 200;

export class EventPages {
  count = signal(0);
  /** Changes with every page that came. */
  changed = signal(0);
  #pages = new Map();
  #closed = new AbortController();

  constructor(jobId) {
    this.jobId = jobId;
  }

  close() {
    this.#closed.abort();
  }

  /** There are so many now: the last page is read again. */
  grow(count) {
    const before = this.count.peek();
    if (before && before < count) this.#pages.delete(Math.floor((before - 1) / SIZE));
    if (before && before < count && before % SIZE === 0) this.#pages.delete(before / SIZE);
    this.count.value = count;
    this.changed.value += 1;
  }

  /** The event of this version, where it is known. */
  peek(version) {
    const page = this.#pages.get(Math.floor((version - 1) / SIZE));
    return Array.isArray(page) ? page[(version - 1) % SIZE] : undefined;
  }

  /** Have these versions read. */
  want(first, last) {
    for (let page = Math.floor((first - 1) / SIZE); page <= Math.floor((last - 1) / SIZE); page += 1) this.#read(page);
  }

  async load(version) {
    await this.#read(Math.floor((version - 1) / SIZE));
    return this.peek(version);
  }

  /** The event of this version alone, where its page is not at hand. */
  async find(version, signal) {
    const asked = { from_version: version, limit: 1 };
    return this.peek(version) ?? (await get(executionPath(this.jobId, "/events"), asked, { signal })).events[0];
  }

  #read(page) {
    if (page < 0 || page * SIZE >= this.count.peek()) return undefined;
    const known = this.#pages.get(page);
    if (known) return known;
    const reading = this.#ask(page, () => this.#pages.get(page) === reading);
    this.#pages.set(page, reading);
    return reading;
  }

  /** Until it is answered, or another question takes its place: it stays known meanwhile, since a player asks at each frame. */
  async #ask(page, isWanted) {
    const { signal } = this.#closed;
    const asked = { from_version: page * SIZE + 1, limit: SIZE };
    do {
      try {
        const { events } = await get(executionPath(this.jobId, "/events"), asked, { signal });
        if (!isWanted()) return;
        this.#pages.set(page, events);
        this.changed.value += 1;
      } catch (problem) {
        if (signal.aborted || !isPassing(problem)) this.#pages.delete(page);
        else await new Promise((resolve) => setTimeout(resolve, PATIENCE));
      }
    } while (isWanted() && !signal.aborted);
  }
}
