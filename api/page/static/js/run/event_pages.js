// The events of a run, read where they are looked at: versions are 1, 2, 3 … without gaps, so any page can be asked for.
import { signal } from "../html.js";
import { executionPath, get } from "../api.js";

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
    const { signal } = this.#closed;
    const reading = get(executionPath(this.jobId, "/events"), { from_version: page * SIZE + 1, limit: SIZE }, { signal })
      .then(({ events }) => {
        this.#pages.set(page, events);
        this.changed.value += 1;
      })
      .catch(() => this.#pages.delete(page));
    this.#pages.set(page, reading);
    return reading;
  }
}
