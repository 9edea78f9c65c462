// Whether the ledger is well kept: projections, feed, writer's queue, samples that are verified.
import { html, useEffect, useRef, useState } from "../html.js";
import { can, get } from "../api.js";
import { number } from "../format.js";
import { feedState, listen } from "../live.js";
import { LiveMark } from "../livemark.js";
import { useNow, useResource } from "../resource.js";
import { Failure, Loading, Time } from "../ui/basics.js";
import { concerns, partsOf } from "../health/judge.js";
import { Projections } from "../health/projections.js";

const EVERY = 2000; // milliseconds between two looks

export function Health() {
  const health = useResource((signal) => load(signal), []);
  const [heard, setHeard] = useState(null);
  const now = useNow(1000);
  const reload = useRef(health.reload);
  useEffect(() => listen((events) => setHeard({ position: events.at(-1).position, at: Date.now() })), []);
  useEffect(() => {
    const timer = setInterval(() => !document.hidden && reload.current(), EVERY);
    return () => clearInterval(timer);
  }, []);
  let content;
  if (health.problem) content = html`<${Failure} problem=${health.problem} retry=${health.reload} />`;
  else if (!health.data) content = html`<${Loading} what="Asking the service" />`;
  else {
    const parts = partsOf(health.data, { state: feedState.value, heard, now });
    content = html`
      <${Verdict} found=${concerns(parts, health.data.projections)} />
      <dl class="health-parts">${parts.map((each) => html`<${Part} key=${each.title} ...${each} />`)}</dl>
      <${Projections} projections=${health.data.projections} size=${health.data.size} onChange=${health.reload} />
    `;
  }
  return html`
    <div class="page scrolls" tabIndex="0" role="region" aria-label="Health">
      <div class="page-head">
        <h1>Health</h1>
        <${LiveMark} />
        ${health.data && html`
          <span class="muted">Asked <${Time} at=${health.data.at} />, and again every ${EVERY / 1000} seconds</span>
          <span class="spacer"></span>
          <span class="muted">This process is up since <${Time} at=${health.data.started_at} /></span>
        `}
      </div>
      ${content}
    </div>
  `;
}

/** The ledger's health; for whoever may read them, what stopped its projections. */
async function load(signal) {
  const [health, detailed] = await Promise.all([
    get("ledger/health", {}, { signal }),
    can("admin") ? get("projections", {}, { signal }) : { projections: [] },
  ]);
  const details = new Map(detailed.projections.map((each) => [each.projection, each]));
  const projections = health.projections.map((each) => ({ ...details.get(each.projection), ...each }));
  return { ...health, projections, at: Date.now() };
}

const Verdict = ({ found }) => html`
  <div class=${`card verdict ${found.length ? "bad" : "good"}`} role="status">
    ${found.length
      ? html`<strong>${found.length === 1 ? "One thing needs" : `${number(found.length)} things need`} attention</strong>
          <ul>${found.map((each) => html`<li key=${each}>${each}</li>`)}</ul>`
      : html`<strong>All is well</strong>`}
  </div>
`;

const Part = ({ title, value, detail, level }) => html`
  <div class="card health-part" data-level=${level}>
    <dt><span class="health-dot" aria-hidden="true"></span>${title}</dt>
    <dd><span class="health-value">${value}</span><span class="muted">${detail}</span></dd>
  </div>
`;
