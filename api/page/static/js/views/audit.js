// Who did what, when and why: the filters of the audit, what each event changed, and files to take away.
import { html, useEffect, useMemo, useRef } from "../html.js";
import { apiPath, get } from "../api.js";
import { brief, eventName, number, preciseTime, fullTime } from "../format.js";
import { useKeys } from "../keys.js";
import { useResource } from "../resource.js";
import { here, runUrl, setParams } from "../router.js";
import { AuditForm, FILTERS } from "../audit/form.js";
import { LedgerProof } from "../audit/proof.js";
import { CopyButton, Empty, Failure, Icon, Loading, Time } from "../ui/basics.js";

const FORMATS = [["jsonl", "JSON lines"], ["csv", "CSV"], ["parquet", "Parquet"]];

function readQuery(params) {
  const found = {};
  for (const { name, many } of FILTERS) {
    const values = params.getAll(name);
    if (values.length) found[name] = many ? values : values[0];
  }
  return found;
}

export function Audit() {
  const { params } = here.value;
  const asked = params.toString();
  const filters = useMemo(() => readQuery(params), [asked]);
  const cursor = params.get("cursor");
  const order = params.get("order") ?? "newest";
  const page = useResource((signal) => get("audit", { ...filters, cursor, order, limit: 50 }, { signal }), [asked]);
  const count = useResource((signal) => get("audit/count", filters, { signal }), [JSON.stringify(filters)]);
  const first = useRef(null);
  const data = page.data;
  const turn = (to) => to && setParams({ cursor: to }, { replace: false });
  useEffect(() => {
    document.querySelector(".audit-results")?.scrollTo({ top: 0 });
  }, [data]);
  useKeys("Audit", {
    "/": ["Search", () => first.current?.focus()],
    j: ["Next page", () => turn(data?.next_cursor)],
    k: ["Previous page", () => turn(cursor && data?.previous_cursor)],
  });
  let content;
  if (page.problem) content = html`<${Failure} problem=${page.problem} retry=${page.reload} />`;
  else if (!data) content = html`<${Loading} what="Reading the ledger" />`;
  else if (!data.events.length && data.complete) content = html`<${Empty} title="No event passes these filters" />`;
  else content = html`<${Results} events=${data.events} />`;
  return html`
    <div class="page scrolls-inside">
      <div class="page-head">
        <h1>Audit</h1>
        <span class="muted number" role="status">${count.data ? `${count.data.exact ? "" : "more than "}${number(count.data.number)} events` : ""}</span>
        <span class="spacer"></span>
        <${CopyButton} what="link" label="Link" text=${() => location.href} />
        ${FORMATS.map(([format, title]) => html`<a key=${format} class="button" download href=${apiPath("audit/export", { ...filters, format })}><${Icon} name="down" />${title}</a>`)}
      </div>
      <${AuditForm} filters=${filters} order=${order} first=${first} />
      <${LedgerProof} />
      <section class="card audit-results" tabIndex="0" aria-label="Events" aria-busy=${String(page.loading)}>
        ${content}
      </section>
      <nav class="pager" aria-label="Pages">
        ${data && !data.complete && html`<span class="muted">Looked at ${number(data.scanned)} events; go on for more.</span>`}
        <span class="spacer"></span>
        <button class="button" disabled=${!cursor || !data?.previous_cursor} onClick=${() => turn(data.previous_cursor)}>Previous</button>
        <button class="button" disabled=${!data?.next_cursor} onClick=${() => turn(data.next_cursor)}>Next</button>
      </nav>
    </div>
  `;
}

const Results = ({ events }) => html`
  <table class="audit-table">
    <thead><tr><th scope="col" class="right">Position</th><th scope="col">When</th><th scope="col">Who</th><th scope="col">What</th>
      <th scope="col">Before → after</th><th scope="col">Why</th></tr></thead>
    <tbody>
      ${events.map(
        ({ event, changes }) => html`
          <tr key=${event.position}>
            <td class="right number">${number(event.position)}</td>
            <td class="nowrap"><${Time} at=${event.recorded_at} format=${fullTime} /></td>
            <td>${event.actor ? html`<button class="cell-filter" title="Only what they did" onClick=${() => setParams({ actor: event.actor, cursor: null }, { replace: false })}>${event.actor}</button>` : html`<span class="none">–</span>`}</td>
            <td><b>${eventName(event.type)}</b><br /><a class="mono" href=${runUrl(event.job_id, { at: event.version })}>${event.job_id}</a></td>
            <td><${Changed} changes=${changes} event=${event} /></td>
            <td>${event.reason ?? html`<span class="none">–</span>`}${event.occurred_at && html`<br /><span class="muted">happened ${preciseTime(event.occurred_at)}</span>`}</td>
          </tr>
        `,
      )}
    </tbody>
  </table>
`;

const HIDDEN = new Set(["created_at", "started_at", "completed_at"]);

function Changed({ changes, event }) {
  const all = Object.entries(changes).filter(([name]) => !HIDDEN.has(name));
  if (!all.length) return html`<span class="muted">${event.data === null ? "erased" : brief(event.data?.text ?? "", 200) || "–"}</span>`;
  const line = ([name, { before, after }]) => html`
    <li key=${name}><span class="mono muted">${name}</span>${" "}
      ${before !== null && before !== undefined && html`<del><span class="unseen">before: </span>${brief(before, 120)}</del> → `}
      <ins><span class="unseen">after: </span>${after === null || after === undefined ? "nothing" : brief(after, 160)}</ins></li>
  `;
  return html`
    <ul class="changed">${all.slice(0, 4).map(line)}</ul>
    ${all.length > 4 && html`<details><summary>${all.length - 4} more</summary><ul class="changed">${all.slice(4).map(line)}</ul></details>`}
  `;
}
