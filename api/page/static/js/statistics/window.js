// Which runs are counted: a window of time that moves along or stands still, and filters. All of it is in the URL.
import { html } from "../html.js";
import { fromInput, LATEST, minuteTime, toInput } from "../format.js";
import { setParams } from "../router.js";
import { LABELS, TERMINAL } from "../statuses.js";
import { Choices } from "../ui/choices.js";

const HOUR = 3_600_000;
export const WINDOWS = { "24h": ["24 hours", 24], "7d": ["7 days", 168], "30d": ["30 days", 720] };
const BY_HOUR = 10 * 24; // hours that are shown one by one; longer windows are by day
export const OUTCOMES = ["completed", "failed", "stopped", "rejected", "cancelled"].filter((each) => TERMINAL.has(each));

const isTime = (text) => Boolean(text) && !Number.isNaN(Date.parse(text));

/** What the URL says, in whole hours of UTC, as the service counts. */
export function readWindow(params, now = Date.now()) {
  const [from, before] = [params.get("from"), params.get("before")];
  const filters = { run_name: params.getAll("name"), execution_type: params.getAll("type"), outcome: params.getAll("outcome") };
  const end = Math.ceil((now + 1) / HOUR) * HOUR;
  let span;
  let name = null;
  if (isTime(from) || isTime(before)) {
    const until = isTime(before) ? Math.ceil(Date.parse(before) / HOUR) * HOUR : end;
    const since = isTime(from) ? Math.floor(Date.parse(from) / HOUR) * HOUR : until - 24 * HOUR;
    span = [since, until];
  } else {
    name = Object.hasOwn(WINDOWS, params.get("window") ?? "") ? params.get("window") : "24h";
    span = [end - WINDOWS[name][1] * HOUR, end];
  }
  const hours = (span[1] - span[0]) / HOUR;
  return { name, from: span[0], before: span[1], step: hours <= BY_HOUR ? "hour" : "day", filters, reason: params.get("reason") };
}

export const asParameters = ({ from, before, filters }) => ({
  ...filters, ended_from: new Date(from).toISOString(), ended_before: new Date(before).toISOString(),
});

/** Begins of all hours or days of a window, also of those in which nothing ended. */
export function* beginsOf({ from, before, step }) {
  const length = step === "hour" ? HOUR : 24 * HOUR;
  for (let at = Math.floor(from / length) * length; at < before; at += length) yield at;
}
export const lengthOf = ({ step }) => (step === "hour" ? HOUR : 24 * HOUR);

export function WindowForm({ range, names, types }) {
  const { name, from, before, filters } = range;
  const apply = (event) => {
    event.preventDefault();
    const data = new FormData(event.currentTarget);
    const timeOf = (field, at) => fromInput(data.get(field), new Date(at).toISOString());
    setParams({ window: null, from: timeOf("from", from), before: timeOf("before", before) }, {});
  };
  const choose = (parameter) => (values) => setParams({ [parameter]: values });
  return html`
    <div class="window-form">
      <div class="segmented" role="group" aria-label="Window">
        ${Object.entries(WINDOWS).map(
          ([key, [label]]) => html`
            <button key=${key} class="button" aria-pressed=${String(name === key)}
              onClick=${() => setParams({ window: key === "24h" ? null : key, from: null, before: null }, {})}>${label}</button>
          `,
        )}
      </div>
      <form class="from-to" key=${`${from} ${before} ${name}`} onSubmit=${apply} aria-label="From and before">
        <label for="stat-from">From</label>
        <input id="stat-from" name="from" type="datetime-local" step="3600" max=${LATEST} defaultValue=${toInput(new Date(from).toISOString())} />
        <label for="stat-before">before</label>
        <input id="stat-before" name="before" type="datetime-local" step="3600" max=${LATEST} defaultValue=${toInput(new Date(before).toISOString())} />
        <button class="button">Apply</button>
      </form>
      <span class="spacer"></span>
      <div class="window-filters">
        <${Choices} key=${`n${filters.run_name}`} name="name" label="Name" chosen=${filters.run_name} onChange=${choose("name")}
          options=${optionsOf(names, filters.run_name, "no name")} />
        <${Choices} key=${`t${filters.execution_type}`} name="type" label="Type" chosen=${filters.execution_type}
          onChange=${choose("type")} options=${optionsOf(types, filters.execution_type, "no type")} />
        <${Choices} key=${`o${filters.outcome}`} name="outcome" label="Outcome" chosen=${filters.outcome}
          onChange=${choose("outcome")} options=${OUTCOMES.map((each) => [each, LABELS[each]])} />
      </div>
    </div>
  `;
}

/** What there is in the window, and what is chosen, whether there is any or not. */
function optionsOf(known, chosen, none) {
  return [...new Set([...known, ...chosen])].map((each) => [each, each === "" ? none : each]);
}

/** A window in words. */
export const spell = ({ from, before }) => `${minuteTime(from)} – ${minuteTime(before)}`;
