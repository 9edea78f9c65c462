// How runs ended, how long they took, why they failed: of a window, by hour, name and type.
import { html, useEffect, useMemo } from "../html.js";
import { get } from "../api.js";
import { duration, number, percent } from "../format.js";
import { known, listen } from "../live.js";
import { useLater, useNow, useResource } from "../resource.js";
import { here, withParams } from "../router.js";
import { LABELS } from "../statuses.js";
import { Empty, Failure, Glyph, Icon, Loading } from "../ui/basics.js";
import { DurationsChart, fill, OutcomesChart } from "../statistics/charts.js";
import { endingEvents, Failed, Groups, Longest, MostRetried, Reasons, runsOf } from "../statistics/lists.js";
import { asParameters, OUTCOMES, readWindow, spell, WindowForm } from "../statistics/window.js";

const SOON = 5000; // milliseconds after which what ended meanwhile is counted
const FEW = 10;
const MANY = 100;

export function Statistics() {
  const { params } = here.value;
  const asked = params.toString();
  const hour = Math.floor(useNow(60_000) / 3_600_000);
  const range = useMemo(() => readWindow(params), [asked, hour]);
  const many = params.get("most") === String(MANY);
  const answer = useResource((signal) => known().then(() => load(range, many, signal)), [range, many]);
  const soon = useLater(answer.reload, SOON);
  const latest = useMemo(() => ({ soon }), []);
  latest.soon = soon;
  useEffect(() => listen((events) => events.some(({ type }) => !QUIET.has(type)) && latest.soon(), () => latest.soon()), []);
  const found = answer.data;
  let content;
  if (answer.problem) content = html`<${Failure} problem=${answer.problem} retry=${answer.reload} />`;
  else if (!found) content = html`<${Loading} what="Counting" />`;
  else content = html`<${Answer} found=${found} many=${many} />`;
  return html`
    <div class="page scrolls statistics" aria-busy=${String(answer.loading)}>
      <div class="page-head">
        <h1>Statistics</h1>
        <span class="muted number">Runs that ended ${spell(range)}</span>
        <span class="spacer"></span>
        <a class="button" href=${withParams({ from: iso(range.from), to: iso(range.before) }, "/lanes", "")}>
          <${Icon} name="lanes" />In lanes
        </a>
      </div>
      <${WindowForm} range=${range} names=${namesOf(found?.names, "run_name")} types=${namesOf(found?.types, "execution_type")} />
      ${content}
    </div>
  `;
}

/** Events that end nothing, and correct nothing. */
const QUIET = new Set(["noted", "progressed", "step_started", "step_finished", "created"].map((each) => `execution.${each}`));

const iso = (at) => new Date(at).toISOString();
const namesOf = (groups, by) => (groups ?? []).map((each) => each[by] ?? "");

async function load(range, many, signal) {
  const ask = (path, more) => get(`statistics${path}`, { ...asParameters(range), ...more }, { signal });
  const limit = many ? MANY : FEW;
  const failed = range.reason === null ? null : ask("/longest", { reason: range.reason, limit: MANY });
  const [total, times, names, types, reasons, longest, retried] = await Promise.all([
    ask("", {}), ask("", { by: range.step, limit: 1000 }), ask("", { by: "run_name" }), ask("", { by: "execution_type" }),
    ask("/failure-reasons", { limit }), ask("/longest", { limit }), ask("/most-retried", { limit }),
  ]);
  return {
    range, total: total.groups[0], entries: fill(times.groups, range), names: names.groups, types: types.groups,
    reasons: reasons.reasons, longest: longest.runs, retried: retried.runs, failed: (await failed)?.runs,
  };
}

function Answer({ found, many }) {
  const { range, total } = found;
  if (!total?.runs) return html`<${Empty} title="No run ended in this window">Choose a longer one, or other filters.<//>`;
  const whole = !range.filters.run_name.length && !range.filters.execution_type.length; // the audit knows neither
  const events = whole ? endingEvents(range, "failed") : null;
  const failures =
    found.reasons.length > 0 &&
    html`<a href=${runsOf(range, { status: "failed" })}>Every failed run</a>${events && html` · <a href=${events}>in the audit</a>`}`;
  const more = (length) =>
    (many || length === FEW) && html`<a href=${withParams({ most: many ? null : MANY })}>${many ? `The first ${FEW}` : `Show ${MANY}`}</a>`;
  return html`
    <${Tiles} total=${total} range=${range} />
    <div class="chart-pair">
      <${OutcomesChart} entries=${found.entries} range=${range} />
      <${DurationsChart} entries=${found.entries} range=${range} />
    </div>
    <div class="list-pair">
      ${found.failed && html`<${Failed} reason=${range.reason} runs=${found.failed} />`}
      <${Reasons} reasons=${found.reasons} failures=${failures} />
      <${Longest} runs=${found.longest} more=${more(found.longest.length)} />
      <${MostRetried} runs=${found.retried} />
      <${Groups} title="By name" groups=${found.names} range=${range} by="run_name" parameter="name" none="no name" />
      <${Groups} title="By type" groups=${found.types} range=${range} by="execution_type" parameter="type" none="no type" />
    </div>
  `;
}

/** The window in numbers, each of which leads to its runs. */
const Tiles = ({ total, range }) => html`
  <dl class="tiles">
    <div class="card tile"><dt>Runs</dt><dd><a href=${runsOf(range)} title="In the list of runs">${number(total.runs)}</a></dd></div>
    ${OUTCOMES.filter((each) => total.outcomes[each]).map(
      (each) => html`
        <div class="card tile" key=${each} data-status=${each}>
          <dt><${Glyph} status=${each} size=${14} />${LABELS[each]}</dt>
          <dd>
            <a href=${runsOf(range, { status: each })} title="In the list of runs">${number(total.outcomes[each])}</a>
            <span class="muted">${percent(total.outcomes[each] / total.runs)}</span>
          </dd>
        </div>
      `,
    )}
    ${["p50", "p95", "p99"].map(
      (each) => html`<div class="card tile" key=${each}><dt>Duration ${each}</dt><dd>${duration(total.duration[each])}</dd></div>`,
    )}
    <div class="card tile"><dt>Queued p95</dt><dd>${duration(total.queue_time.p95)}</dd></div>
    ${total.late > 0 && html`<div class="card tile"><dt>Late outcomes</dt><dd>${number(total.late)}</dd></div>`}
  </dl>
`;
