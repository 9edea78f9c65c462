// What an event changed: before → after. All of it is text, whatever it holds.
import { html } from "../html.js";
import { brief, json } from "../format.js";
import { Time } from "../ui/basics.js";

const same = (one, other) => JSON.stringify(one) === JSON.stringify(other);
const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);
const isTime = (value) => typeof value === "string" && !Number.isNaN(Date.parse(value));
const whole = (value) => (typeof value === "string" ? value : json(value, 2));

/** The changed fields, one by one; of objects that were and are there, the members that differ. */
export const changesOf = (changes) =>
  Object.entries(changes).flatMap(([name, { before, after }]) => [...membersOf(name, before, after)]);

function* membersOf(name, before, after) {
  if (!isObject(before) || !isObject(after) || same(before, after)) {
    yield { name, before: before ?? null, after: after ?? null };
    return;
  }
  for (const member of new Set([...Object.keys(before), ...Object.keys(after)])) {
    if (!same(before[member], after[member])) yield* membersOf(`${name}.${member}`, before[member], after[member]);
  }
}

/** One field on a line, or with `full` as long as it is. */
export function Change({ name, before, after, full = false }) {
  const show = (value) => {
    if (full) return whole(value);
    return name.endsWith("_at") && isTime(value) ? html`<${Time} at=${value} />` : brief(value, 70);
  };
  const part = (Tag, word, value) =>
    value === null
      ? html`<span class="none"><span class="unseen">${word} </span>none</span>`
      : html`<${Tag} title=${full ? undefined : brief(value, 600)}><span class="unseen">${word} </span>${show(value)}<//>`;
  return html`
    <div class="change">
      <span class="change-name">${name}</span>
      ${same(before, after)
        ? html`<span class="change-values muted">set again to ${show(after)}</span>`
        : html`<span class="change-values">
            ${before !== null && html`${part("del", "from", before)}<span class="arrow" aria-hidden="true">→</span>`}
            ${part("ins", "to", after)}
          </span>`}
    </div>
  `;
}

/** What an event says beside the fields that it changed. */
export const saying = ({ type, data }) => (type === "execution.noted" ? data?.text : null);
