// Times in the reader's zone, lengths of time and numbers, as text.
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const dayClock = new Intl.DateTimeFormat(undefined, {
  day: "2-digit", month: "short", hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23",
});
const dayMinute = new Intl.DateTimeFormat(undefined, {
  day: "2-digit", month: "short", hour: "2-digit", minute: "2-digit", hourCycle: "h23",
});
const dayYear = new Intl.DateTimeFormat(undefined, {
  year: "numeric", month: "short", day: "2-digit", hour: "2-digit", minute: "2-digit", hourCycle: "h23",
});
const full = new Intl.DateTimeFormat(undefined, {
  year: "numeric", month: "short", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit",
  hourCycle: "h23", timeZoneName: "short",
});
const numbers = new Intl.NumberFormat();
const percents = new Intl.NumberFormat(undefined, { style: "percent", maximumFractionDigits: 1 });
const compact = new Intl.NumberFormat(undefined, { notation: "compact", maximumFractionDigits: 1 });

export const ms = (time) => (typeof time === "number" ? time : Date.parse(time));
export const number = (value) => numbers.format(value);
export const percent = (value) => percents.format(value);
export const shortNumber = (value) => (value < 10_000 ? numbers.format(value) : compact.format(value));
export const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;

/** The clock today, with the day before it on other days, and of other years with the year. */
export function shortTime(time) {
  const [at, now] = [new Date(ms(time)), new Date()];
  if (isSameDay(at, now)) return clock.format(at);
  return (isThisYear(at) ? dayClock : dayYear).format(at);
}
const isThisYear = (time) => new Date(time).getFullYear() === new Date().getFullYear();
export const isSameDay = (one, other) => new Date(one).toDateString() === new Date(other).toDateString();
export const dayTime = (time) => dayClock.format(ms(time));
export const minuteTime = (time) => (isThisYear(time) ? dayMinute : dayYear).format(ms(time));
export const clockTime = (time) => clock.format(ms(time));
export const fullTime = (time) => full.format(ms(time));

/** To the millisecond, for the axis of a short run. */
export const preciseTime = (time) => `${clock.format(ms(time))}.${String(new Date(ms(time)).getMilliseconds()).padStart(3, "0")}`;
export const utcTime = (time) => `${new Date(ms(time)).toISOString().replace("T", " ").replace("Z", "")} UTC`;

/** Seconds for people: two units at most. */
export function duration(seconds) {
  if (seconds === null || seconds === undefined || Number.isNaN(seconds)) return "–";
  const s = Math.max(0, seconds);
  if (s < 0.9995) return `${Math.round(s * 1000)} ms`;
  if (s < 59.95) return `${s < 9.995 ? s.toFixed(2) : s.toFixed(1)} s`;
  const whole = Math.round(s);
  const two = (value) => String(value).padStart(2, "0");
  if (whole < 3600) return `${Math.floor(whole / 60)} m ${two(whole % 60)} s`;
  if (whole < 86_400) return `${Math.floor(whole / 3600)} h ${two(Math.floor((whole % 3600) / 60))} m`;
  return `${Math.floor(whole / 86_400)} d ${two(Math.floor((whole % 86_400) / 3600))} h`;
}

/** How long an execution took, or has taken so far. */
export function secondsOf(run, now = Date.now()) {
  const begin = run.started_at ?? run.created_at;
  if (!begin) return null;
  const end = run.completed_at ? ms(run.completed_at) : now;
  return Math.max(0, (end - ms(begin)) / 1000);
}

export const eventName = (type) => type.replace("execution.", "").replaceAll("_", " ");
export const fieldName = (path) =>
  Array.isArray(path)
    ? path.map((part, at) => (typeof part === "number" ? `[${part}]` : at ? `.${part}` : part)).join("")
    : path;

/** As JSON, in which nothing turns the order of what stands around it: such signs are told by their numbers. */
export const json = (value, indent) =>
  JSON.stringify(value, null, indent)?.replaceAll(/[\u202a-\u202e\u2066-\u2069]/g, (sign) => `\\u${sign.charCodeAt(0).toString(16)}`);

const TURNS = /[\u0590-\u08ff\u200f\u202a-\u202e\u2066-\u2069\ufb1d-\ufdff\ufe70-\ufefc]/;

/** Text that may be written from right to left, inside of a sentence that is not. */
export const apart = (text) => (TURNS.test(text) ? `\u2068${text}\u2069` : text);

/** The beginning of a text, without half a letter at its end. */
export const cut = (text, most) => (text.length > most ? `${text.slice(0, most).replace(/[\ud800-\udbff]$/, "")}…` : text);

/** A value on one line. */
export function brief(value, most = 160) {
  if (value === null || value === undefined) return "–";
  const text = typeof value === "string" ? value : json(value);
  return apart(cut(text.replaceAll(/\s+/g, " "), most));
}

/** What an `<input type="datetime-local">` shows of an instant, and back. */
export function toInput(iso) {
  const at = new Date(iso ?? NaN);
  if (Number.isNaN(at.getTime())) return ""; // a URL may say anything
  return new Date(at.getTime() - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 19);
}
/**
 * Where nobody touched it, the time `before` stays as exact as it was, and of two hours of one name the same: `shown` is
 * what the field began with. Browsers leave seconds of zero out.
 */
export const fromInput = (text, before = null, shown = toInput(before)) =>
  text ? (Date.parse(text) === Date.parse(shown) ? before : new Date(text).toISOString()) : null;
/** The last that a field takes: in a year of five digits, which browsers let people type, nothing begins. */
export const LATEST = "9999-12-31T23:59:59";
