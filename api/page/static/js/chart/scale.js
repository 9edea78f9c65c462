// A stretch of time on a stretch of pixels: ticks, zoom and pan.
import { clockTime, preciseTime } from "../format.js";

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const STEPS = [
  1, 2, 5, 10, 20, 50, 100, 200, 500, SECOND, 2 * SECOND, 5 * SECOND, 10 * SECOND, 15 * SECOND, 30 * SECOND, MINUTE,
  2 * MINUTE, 5 * MINUTE, 10 * MINUTE, 15 * MINUTE, 30 * MINUTE, HOUR, 2 * HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR, DAY,
  2 * DAY, 7 * DAY, 14 * DAY, 30 * DAY, 90 * DAY, 365 * DAY,
];
const minutes = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const days = new Intl.DateTimeFormat(undefined, { day: "2-digit", month: "short" });

/** From a time to a pixel and back. */
export const makeScale = ({ from, to }, left, right) => {
  const per = (right - left) / Math.max(1e-6, to - from);
  return { from, to, left, right, x: (time) => left + (time - from) * per, time: (x) => from + (x - left) / per, per };
};

/** Times for lines on an axis, in the reader's zone, with their labels. */
export function ticks({ from, to, per }, space = 90) {
  const step = STEPS.find((each) => each * per >= space) ?? STEPS.at(-1);
  const offset = offsetAt(from);
  const label = step >= DAY ? (at) => days.format(at) : step >= MINUTE ? dayOrMinute : step >= SECOND ? clockTime : preciseTime;
  const found = [];
  for (let wall = Math.ceil((from + offset) / step) * step; found.length < 100; wall += step) {
    // Clocks that change move lines of several hours or days, which are of the clock, and not shorter ones.
    const at = wall - (step > HOUR ? offsetAt(wall - offset) : offset);
    if (at > to) break;
    found.push({ at, label: label(at) });
  }
  return found;
}

const offsetAt = (time) => -new Date(time).getTimezoneOffset() * MINUTE;

const dayOrMinute = (at) => {
  const date = new Date(at);
  return date.getHours() === 0 && date.getMinutes() === 0 ? days.format(at) : minutes.format(at);
};

/** The window zoomed around a time; never outside of `bounds`, never shorter than a fifth of a second. */
export function zoomed(view, factor, around, bounds) {
  const span = Math.min(bounds.to - bounds.from, Math.max(200, (view.to - view.from) * factor));
  const share = (around - view.from) / (view.to - view.from || 1);
  return kept({ from: around - share * span, to: around + (1 - share) * span }, bounds);
}

export const panned = (view, by, bounds) => kept({ from: view.from + by, to: view.to + by }, bounds);

function kept({ from, to }, bounds) {
  const span = to - from;
  if (from < bounds.from) return { from: bounds.from, to: Math.min(bounds.to, bounds.from + span) };
  if (to > bounds.to) return { from: Math.max(bounds.from, bounds.to - span), to: bounds.to };
  return { from, to };
}

/** Draw the axis along the top and its lines over the whole height. */
export function drawAxis(context, scale, height, colors, top = 26) {
  context.textAlign = "left";
  context.textBaseline = "middle";
  context.lineWidth = 1;
  for (const { at, label } of ticks(scale)) {
    const x = Math.round(scale.x(at)) + 0.5;
    if (x < scale.left) continue;
    context.strokeStyle = colors("line");
    context.beginPath();
    context.moveTo(x, top - 8);
    context.lineTo(x, height);
    context.stroke();
    context.fillStyle = colors("muted");
    if (x + context.measureText(label).width + 6 < scale.right) context.fillText(label, x + 5, top / 2);
  }
}
