// How runs ended, how long they took, why they failed: over hours or days, each a click from the runs themselves.
import { html, useMemo } from "../html.js";
import { get } from "../api.js";
import { duration, number, percent, shortTime } from "../format.js";
import { useResource } from "../resource.js";
import { go, here, runUrl, setParams, withParams } from "../router.js";
import { Duration, Empty, Failure, Icon, Loading, Status, Time } from "../ui/basics.js";
import { DurationChart, OutcomeChart } from "../statistics/charts.js";

const HOUR = 3_600_000;
const SPANS = { "24h": 24, "3d": 72, "7d": 168, "30d": 720, "1y": 8760 };
const iso = (time) => new Date(time).toISOString();

function readWindow(params) {
  const last = SPANS[params.get("last")] ? params.get("last") : "24h";
  const end = Math.ceil(Date.now() / HOUR) * HOUR;
  const hours = SPANS[last];
  return { last, from: end - hours * HOUR, before: end, by: hours <= 72 ? "hour" : "day", step: hours <= 72 ? HOUR : 24 * HOUR };
}

export function Statistics() {
  const { params } = here.value;
  const asked = params.toString();
  const window = useMemo(() => readWindow(params), [asked]);
  const name = params.get("name");
  const query = { ended_from: iso(window.from), ended_before: iso(window.before), run_name: name };
  const found = useResource(
    async (signal) => {
      const ask = (path, more) => get(`statistics${path}`, { ...query, ...more }, { signal });
      const [all, groups, failing, reasons, longest, retried] = await Promise.all([
        ask(""), ask("", { by: window.by, limit: 1000 }), ask("/most-failing", { limit: 8 }), ask("/failure-reasons", { limit: 8 }),
        ask("/longest", { limit: 8 }), ask("/most-retried", { limit: 8 }),
      ]);
      return { all: all.groups[0], groups: groups.groups, failing: failing.groups, reasons: reasons.reasons, longest: longest.runs, retried: retried.runs };
    },
    [asked],
  );
  const data = found.data;
  const show = (at) => go(withParams({ from: iso(at), to: iso(at + window.step) }, "/lanes", ""));
  let content;
  if (found.problem) content = html`<${Failure} problem=${found.problem} retry=${found.reload} />`;
  else if (!data) content = html`<${Loading} what="Counting" />`;
  else if (!data.all?.runs) content = html`<${Empty} title="No run ended in this time">Choose a longer one, or clear the name.<//>`;
  else content = html`<${Found} data=${data} window=${window} onShow=${show} />`;
  return html`
    <div class="page scrolls" tabIndex="-1">
      <div class="page-head">
        <h1>Statistics</h1>
        ${name && html`<button class="button small" onClick=${() => setParams({ name: null })} aria-label=${`All names, not only ${name}`}>${name}<${Icon} name="close" size=${12} /></button>`}
        <span class="spacer"></span>
        <div class="segmented" role="group" aria-label="How far back">
          ${Object.keys(SPANS).map((each) => html`<button key=${each} class="button small" aria-pressed=${String(window.last === each)}
            onClick=${() => setParams({ last: each === "24h" ? null : each })}>${each}</button>`)}
        </div>
      </div>
      ${content}
    </div>
  `;
}

const Found = ({ data, window, onShow }) => html`
  <dl class="tiles">
    <${Tile} title="Ended" value=${number(data.all.runs)} />
    <${Tile} title="Failed" value=${percent(data.all.outcomes.failed / data.all.runs)} more=${`${number(data.all.outcomes.failed)} runs`} status="failed" />
    <${Tile} title="Typical duration" value=${duration(data.all.duration.p50)} more="p50" />
    <${Tile} title="Slow" value=${duration(data.all.duration.p95)} more=${`p95; p99 ${duration(data.all.duration.p99)}`} />
    <${Tile} title="Wait for a start" value=${duration(data.all.queue_time.p50)} more=${`p50; p95 ${duration(data.all.queue_time.p95)}`} />
  </dl>
  <section class="card chart-card" aria-label=${`Outcomes per ${window.by}`}><h2>Outcomes per ${window.by}</h2>
    <${OutcomeChart} groups=${data.groups} window=${window} onShow=${onShow} /></section>
  <section class="card chart-card" aria-label="Durations"><h2>Durations</h2>
    <${DurationChart} groups=${data.groups} window=${window} onShow=${onShow} /></section>
  <details class="card pad"><summary>The charts as a table</summary><${AsTable} groups=${data.groups} by=${window.by} /></details>
  <div class="panels-grid">
    <${Reasons} reasons=${data.reasons} window=${window} />
    <${Failing} groups=${data.failing} />
    <${Ended} title="Longest" runs=${data.longest} value=${(run) => html`<${Duration} seconds=${run.duration} />`} head="Duration" />
    <${Ended} title="Most retried" runs=${data.retried} value=${(run) => html`<span class="number">${run.attempt}</span>`} head="Attempt" />
  </div>
`;

const Tile = ({ title, value, more, status }) => html`
  <div class="card tile" data-status=${status}><dt>${title}</dt><dd class="tile-value">${value}</dd>${more && html`<dd class="muted number">${more}</dd>`}</div>
`;

const Panel = ({ title, empty, children }) => html`
  <section class="card" aria-label=${title}><div class="panel-head"><h2>${title}</h2></div>
    ${empty ? html`<p class="muted pad">None in this time.</p>` : html`<div class="table-inside" tabIndex="0" role="region" aria-label=${`${title}, as a table`}>${children}</div>`}</section>
`;

const Reasons = ({ reasons, window }) => html`
  <${Panel} title="Why runs failed" empty=${!reasons.length}>
    <table><thead><tr><th scope="col">Reason</th><th scope="col" class="right">Runs</th><th scope="col">Last</th></tr></thead><tbody>
      ${reasons.map((each) => html`<tr key=${each.reason}>
        <td>${each.job_id ? html`<a href=${runUrl(each.job_id)}>${each.reason ?? "no error told"}</a>` : (each.reason ?? "no error told")}</td>
        <td class="right number"><a href=${withParams({ status: "failed", from: iso(window.from) }, "/", "")} aria-label=${`${each.runs} runs: failed runs of this time`}>${number(each.runs)}</a></td>
        <td class="nowrap"><${Time} at=${each.last_at} /></td></tr>`)}
    </tbody></table>
  <//>
`;

const Failing = ({ groups }) => html`
  <${Panel} title="Names that fail most" empty=${!groups.length}>
    <table><thead><tr><th scope="col">Name</th><th scope="col" class="right">Failed</th><th scope="col" class="right">Of</th><th scope="col" class="right">Rate</th></tr></thead><tbody>
      ${groups.map((each) => html`<tr key=${each.run_name}>
        <td><a href=${withParams({ q: each.run_name, status: "failed" }, "/", "")}>${each.run_name ?? "no name"}</a></td>
        <td class="right number">${number(each.outcomes.failed)}</td><td class="right number">${number(each.runs)}</td>
        <td class="right number">${percent(each.outcomes.failed / each.runs)}</td></tr>`)}
    </tbody></table>
  <//>
`;

const Ended = ({ title, runs, value, head }) => html`
  <${Panel} title=${title} empty=${!runs.length}>
    <table><thead><tr><th scope="col">Run</th><th scope="col">Outcome</th><th scope="col" class="right">${head}</th><th scope="col">Ended</th></tr></thead><tbody>
      ${runs.map((run) => html`<tr key=${run.job_id}><td><a href=${runUrl(run.job_id)}>${run.run_name ?? run.job_id}</a></td>
        <td><${Status} status=${run.outcome} quiet /></td><td class="right">${value(run)}</td><td class="nowrap"><${Time} at=${run.ended_at} /></td></tr>`)}
    </tbody></table>
  <//>
`;

const AsTable = ({ groups, by }) => html`
  <div class="table-inside" tabIndex="0" role="region" aria-label="Outcomes and durations"><table>
    <thead><tr><th scope="col">${by === "hour" ? "Hour" : "Day"}</th>${["Ended", "Completed", "Failed", "Other", "p50", "p95", "p99"].map((each) => html`<th key=${each} scope="col" class="right">${each}</th>`)}</tr></thead>
    <tbody>${groups.map(({ at, runs, outcomes, duration: took }) => html`<tr key=${at}><th scope="row">${shortTime(at)}</th>
      <td class="right">${number(runs)}</td><td class="right">${number(outcomes.completed)}</td><td class="right">${number(outcomes.failed)}</td>
      <td class="right">${number(runs - outcomes.completed - outcomes.failed)}</td>
      ${[took.p50, took.p95, took.p99].map((each, at2) => html`<td key=${at2} class="right">${duration(each)}</td>`)}</tr>`)}</tbody>
  </table></div>
`;
