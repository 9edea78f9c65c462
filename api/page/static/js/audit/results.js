// The events that were found, as a table; on a phone each is a card.
import { html, useState } from "../html.js";
import { eventName, number } from "../format.js";
import { runUrl, withParams } from "../router.js";
import { CopyButton, Icon, Time } from "../ui/basics.js";
import { Change, changesOf, saying } from "./changes.js";

const FEW = 3;
const COLUMNS = ["Position", "When", "Who", "Run", "Event", "Before → after", "Why"];
const MORE = [
  ["recorded_at", "Recorded"], ["occurred_at", "Happened"], ["correlation_id", "Correlation id"],
  ["causation_id", "Causation id"], ["trace_id", "Trace id"], ["command_id", "Command id"], ["stream_id", "Stream"],
];

export const Results = ({ events }) => html`
  <table class="audit-table" role="table" aria-label="Events found">
    <thead role="rowgroup">
      <tr role="row">
        ${COLUMNS.map((name) => html`<th role="columnheader" scope="col" key=${name}>${name}</th>`)}
        <th role="columnheader" scope="col"><span class="unseen">Details</span></th>
      </tr>
    </thead>
    <tbody role="rowgroup">${events.map((each) => html`<${Found} key=${each.event.position} found=${each} />`)}</tbody>
  </table>
`;

function Found({ found: { event, changes } }) {
  const [open, setOpen] = useState(false);
  const changed = changesOf(changes);
  const said = saying(event);
  const id = `event-${event.position}`;
  return html`
    <tr role="row" class=${open ? "open" : ""}>
      <td role="cell" class="number position">${number(event.position)}</td>
      <td role="cell" class="nowrap when"><${Time} at=${event.recorded_at} /></td>
      <td role="cell" class="who-cell"><${Filter} name="actor" value=${event.actor} /></td>
      <td role="cell" class="run-cell"><a class="clip mono" href=${runUrl(event.job_id, { at: event.version })} title=${`${event.job_id}, as it was then`}>${event.job_id}</a></td>
      <td role="cell" class="event-cell"><span class="event-name">${eventName(event.type)}</span></td>
      <td role="cell" class="changes">
        ${changed.slice(0, FEW).map((each) => html`<${Change} key=${each.name} ...${each} />`)}
        ${changed.length > FEW && html`<span class="muted">and ${changed.length - FEW} more</span>`}
        ${said && html`<span class="said">${said}</span>`}
        ${event.data === null && html`<span class="muted">its payload was erased</span>`}
      </td>
      <td role="cell" class=${event.reason ? "because" : "because nothing"}>${event.reason ?? html`<span class="none">–</span>`}</td>
      <td role="cell" class="open-cell">
        <button class="button plain small icon-only" aria-expanded=${String(open)} aria-controls=${open ? id : undefined}
          aria-label=${`Details of event ${event.position}`} onClick=${() => setOpen(!open)}>
          <${Icon} name=${open ? "minus" : "plus"} />
        </button>
      </td>
    </tr>
    ${open &&
    html`<tr role="row" class="detail" id=${id}>
      <td role="cell" colspan=${COLUMNS.length + 1}><${Details} event=${event} changes=${changes} /></td>
    </tr>`}
  `;
}

const Details = ({ event, changes }) => html`
  <div class="audit-detail">
    <dl class="audit-facts">
      ${MORE.filter(([name]) => event[name]).map(
        ([name, label]) => html`
          <div key=${name}>
            <dt>${label}</dt>
            <dd>${name.endsWith("_at") ? html`<${Time} at=${event[name]} />` : html`<${Filter} name=${name} value=${event[name]} />`}</dd>
          </div>
        `,
      )}
      <div><dt>Version of the run</dt><dd>${event.version}</dd></div>
    </dl>
    <div class="all-changes">
      ${Object.entries(changes).map(([name, change]) => html`<${Change} key=${name} name=${name} ...${change} full />`)}
    </div>
    <${CopyButton} text=${() => JSON.stringify({ event, changes }, null, 2)} what="event" label="Copy as JSON" />
  </div>
`;

const FILTERS = new Set(["actor", "correlation_id", "trace_id"]);

/** A value that is a link to all events with the same one, where there is such a filter. */
function Filter({ name, value }) {
  if (value === null) return html`<span class="none">nobody</span>`;
  if (!FILTERS.has(name)) return html`<span class="mono">${value}</span>`;
  return html`<a class=${name === "actor" ? "clip" : "clip mono"} href=${withParams({ [name]: value, cursor: null })}
    title=${`All events with this ${name.replaceAll("_", " ").replace(" id", "")}`}>${value}</a>`;
}
