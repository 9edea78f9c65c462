// The notes of a run: read page by page up to a bound, and drawn along its timeline, dense ones as one mark.
import { signal } from "../html.js";
import { get } from "../api.js";
import { brief, ms, number, preciseTime } from "../format.js";
import { growing } from "../growing.js";

const PAGE = 1000;
export const MOST_NOTES = 20_000;
const LONGEST = 300; // characters that are kept of a note, which may be a page of output
const CELL = 6; // pixels in which all notes are one mark
const TOLD = 3; // notes of a mark that are told by their text
const COLORS = { error: "status-failed", warning: "status-waiting_for_approval" };
const RANKS = { error: 2, warning: 1 };

const rank = ({ level }) => RANKS[level] ?? 0;

export class Notes {
  /** In their order: `{ version, at, text, level, source }`. */
  read = signal([]);
  /** Whether there are more than are read. */
  cut = signal(false);
  #after;

  constructor(jobId) {
    this.jobId = jobId;
  }

  /** Read what there is behind those that were read. */
  grow = growing(async (signal) => {
    while (!this.cut.peek() && (await this.#readPage(signal)));
  });

  async #readPage(signal) {
    const room = MOST_NOTES - this.read.peek().length;
    const limit = Math.min(PAGE, room + 1); // one too many tells that there are more
    const asked = { job_id: this.jobId, type: "noted", order: "oldest", limit, after: this.#after };
    const { events, next_after: next } = await get("events", asked, { signal });
    const taken = events.slice(0, room);
    if (taken.length) {
      this.#after = taken.at(-1).position;
      this.read.value = [...this.read.peek(), ...taken.map(kept)];
    }
    this.cut.value = events.length > room;
    return next !== null && !this.cut.peek();
  }
}

const kept = ({ version, recorded_at: at, data }) => ({
  version, at: ms(at), text: (data?.text ?? "").slice(0, LONGEST), level: data?.level, source: data?.source,
});

/**
 * Where the notes stand that were there `until` a time: `{ x, right, first, last, level }`, first and last by their
 * number, the level the worst. What came after `latest`, the end of the chart, stands at it.
 */
export function marksOf(notes, scale, until, latest) {
  let [low, high] = [0, notes.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (Math.min(notes[middle].at, latest) < scale.from) low = middle + 1;
    else high = middle;
  }
  const marks = [];
  for (let at = low; at < notes.length && notes[at].at <= until; at += 1) {
    const x = scale.x(Math.min(notes[at].at, latest));
    if (x > scale.right) break;
    const before = marks.at(-1);
    const cell = Math.floor((x - scale.left) / CELL);
    if (before?.cell !== cell) marks.push({ cell, x, right: x, first: at, last: at, level: notes[at].level });
    else {
      before.last = at;
      before.right = x;
      if (rank(notes[at]) > rank(before)) before.level = notes[at].level;
    }
  }
  return marks;
}

export function drawMarks(context, marks, y, chosen, colors) {
  for (const { x, right, first, last, level } of marks) {
    const many = last > first;
    const width = many ? Math.max(3, right - x + 1.5) : 1.5;
    context.fillStyle = colors(COLORS[level] ?? "muted");
    context.fillRect(x - 0.75, many ? y - 1 : y, width, many ? 8 : 6);
    if (first > chosen?.last || last < (chosen?.first ?? Infinity)) continue;
    context.strokeStyle = colors("accent");
    context.lineWidth = 2;
    context.strokeRect(x - 3, y - 3, width + 4.5, 11);
  }
}

/** What a mark says, and the event behind it: `{ title, lines, causes }`; of many, when they were and the worst of them. */
export function tellMark(notes, { first, last }) {
  if (first === last) {
    const { version, at, text, level, source } = notes[first];
    const lines = [[source, level].filter(Boolean).join(" · "), preciseTime(at)];
    return { title: text || "An empty note", lines, causes: [{ version, did: "noted this" }] };
  }
  const inside = notes.slice(first, last + 1);
  const worst = [...inside].sort((a, b) => rank(b) - rank(a)).slice(0, TOLD);
  const rest = inside.length - worst.length;
  return {
    title: `${number(inside.length)} notes`,
    lines: [
      `${preciseTime(inside[0].at)} – ${preciseTime(inside.at(-1).at)}`, ...worst.map(({ text }) => text),
      rest ? `and ${number(rest)} more` : "",
    ],
    causes: [{ version: worst[0].version, did: `noted “${brief(worst[0].text, 40)}”` }],
  };
}
