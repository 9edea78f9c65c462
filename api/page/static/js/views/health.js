// How the ledger and its service are doing.
import { html, useEffect } from "../html.js";
import { can, get, send } from "../api.js";
import { fullTime, number } from "../format.js";
import { feedState, listen } from "../live.js";
import { LiveMark } from "../livemark.js";
import { useResource } from "../resource.js";
import { Empty, Failure, Loading, say, Time } from "../ui/basics.js";

const EVERY = 2000;

const Mark = ({ good, children }) => html`
  <span class="status" data-status=${good ? "completed" : "failed"}><span aria-hidden="true">${good ? "✓" : "✕"}</span>${children}</span>
`;

export function Health() {
  const admin = can("admin");
  const found = useResource(
    async (signal) => {
      const [ledger, projections, service] = await Promise.all([
        get("ledger", {}, { signal }),
        admin ? get("projections", {}, { signal }) : null,
        admin ? get("service", {}, { signal }) : null,
      ]);
      return { ledger, projections: projections?.projections ?? ledger.projections, service };
    },
    [admin],
  );
  useEffect(() => listen(() => {}), []); // so that the feed is shown as it is
  useEffect(() => {
    const timer = setInterval(() => !document.hidden && found.reload(), EVERY);
    return () => clearInterval(timer);
  }, [found.reload]);
  const { data, problem } = found;
  if (!data) return html`<div class="page">${problem ? html`<${Failure} problem=${problem} retry=${found.reload} />` : html`<${Loading} what="Asking the service" />`}</div>`;
  const { ledger, projections, service } = data;
  const stopped = projections.filter((each) => each.stopped ?? each.failed_position !== null);
  return html`
    <div class="page scrolls" tabIndex="-1">
      <div class="page-head"><h1>Health</h1><${LiveMark} />
        ${problem ? html`<${Mark} good=${false}>The service does not answer<//>`
        : html`<${Mark} good=${!stopped.length && !service?.audited.mismatches}>${stopped.length ? `${stopped.length} projections have stopped` : service?.audited.mismatches ? "Verification found differences" : "All is well"}<//>`}
      </div>
      <dl class="tiles">
        <div class="card tile"><dt>Events</dt><dd class="tile-value number">${number(ledger.size)}</dd><dd class="muted">in “${ledger.ledger}”</dd></div>
        <div class="card tile"><dt>Runs</dt><dd class="tile-value number">${number(ledger.executions)}</dd><dd class="muted">not deleted</dd></div>
        ${service && html`
          <div class="card tile"><dt>Writer queue</dt><dd class="tile-value number">${number(service.writer.waiting)}</dd><dd class="muted">commands wait</dd></div>
          <div class="card tile"><dt>Feed</dt><dd class="tile-value number">${number(service.feed.waiting)}</dd><dd class="muted">wait for events; this page: ${feedState.value}</dd></div>
          <div class="card tile" data-status=${service.audited.mismatches ? "failed" : undefined}><dt>Last verification</dt>
            <dd class="tile-value"><${Time} at=${service.audited.last_at} /></dd>
            <dd class="muted number">${number(service.audited.executions)} runs folded again, ${number(service.audited.mismatches)} differences, ${number(service.audited.failures)} failures</dd></div>
          <div class="card tile"><dt>Up since</dt><dd class="tile-value"><${Time} at=${service.started_at} /></dd><dd class="muted">this process</dd></div>`}
      </dl>
      <section class="card" aria-label="Projections"><div class="panel-head"><h2>Projections</h2></div>
        ${projections.length ? html`<${Projections} projections=${projections} size=${ledger.size} admin=${admin} reload=${found.reload} />`
        : html`<${Empty} title="None has begun">They begin with the first event.<//>`}
      </section>
      ${!admin && html`<p class="hint">A key with the scope “admin” sees the writer, the feed and the verification, too.</p>`}
    </div>
  `;
}

function Projections({ projections, size, admin, reload }) {
  const retry = async (name) => {
    try {
      await send("POST", `projections/${encodeURIComponent(name)}/retry`);
      say(`${name} tries again`);
      reload();
    } catch (problem) {
      say(problem.message, "bad");
    }
  };
  return html`
    <div class="table-inside" tabIndex="0" role="region" aria-label="Projections, as a table"><table>
      <thead><tr><th scope="col">Projection</th><th scope="col">State</th><th scope="col" class="right">Position</th><th scope="col" class="right">Lag</th>
        ${admin && html`<th scope="col">Moved</th><th scope="col">Error</th>`}</tr></thead>
      <tbody>${projections.map((each) => {
        const lag = each.lag ?? each.size - each.position;
        const stopped = each.stopped ?? each.failed_position !== null;
        return html`<tr key=${each.projection}><th scope="row" class="mono">${each.projection}</th>
          <td><${Mark} good=${!stopped}>${stopped ? "Stopped" : lag ? "Catching up" : "Up to date"}<//></td>
          <td class="right number">${number(each.position)}</td>
          <td class="right number">${number(lag)} <progress max=${Math.max(1, size)} value=${each.position} aria-label=${`${each.projection}: how far it has read`}></progress></td>
          ${admin && html`<td class="nowrap"><${Time} at=${each.updated_at} format=${fullTime} /></td>
            <td>${each.error ? html`${each.error} <span class="muted">at ${number(each.failed_position)}</span> <button class="button small" onClick=${() => retry(each.projection)}>Try again</button>` : html`<span class="none">–</span>`}
              ${each.quarantined ? ` ${number(each.quarantined)} runs left out` : ""}</td>`}</tr>`;
      })}</tbody>
    </table></div>
  `;
}
