// Times in the reader's zone, lengths of time and numbers, as text.
const DAY = 86_400_000;
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const dayClock = new Intl.DateTimeFormat(undefined, {
  day: "2-digit", month: "short", hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23",
});
const dayMinute = new Intl.DateTimeFormat(undefined, {
  day: "2-digit", month: "short", hour: "2-digit", minute: "2-digit", hourCycle: "h23",
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

/** The clock today, with the day before it on other days. */
export function shortTime(time) {
  const at = ms(time);
  const near = Math.abs(Date.now() - at) < DAY && new Date(at).getDate() === new Date().getDate();
  return (near ? clock : dayClock).format(at);
}
export const minuteTime = (time) => dayMinute.format(ms(time));
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

/** A value on one line. */
export function brief(value, most = 160) {
  if (value === null || value === undefined) return "–";
  const text = typeof value === "string" ? value : JSON.stringify(value);
  const line = text.replaceAll(/\s+/g, " ");
  return line.length > most ? `${line.slice(0, most)}…` : line;
}

/** What an `<input type="datetime-local">` shows of an instant, and back. */
export function toInput(iso) {
  const at = new Date(iso ?? NaN);
  if (Number.isNaN(at.getTime())) return ""; // a URL may say anything
  return new Date(at.getTime() - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 19);
}
export const fromInput = (text) => (text ? new Date(text).toISOString() : null);
