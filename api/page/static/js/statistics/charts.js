// How runs ended and how long they took, over the hours or days of the window.
import { html, useMemo, useState } from "../html.js";
import { duration, fullTime, minuteTime, number } from "../format.js";
import { setParams, withParams } from "../router.js";
import { colorOf, LABELS } from "../statuses.js";
import { Glyph, Time } from "../ui/basics.js";
import { paint } from "../theme.js";
import { axes, Chart } from "../ui/chart.js";
import { beginsOf, lengthOf, OUTCOMES } from "./window.js";

/** One entry for each hour or day, in which nothing may have ended. */
export function fill(groups, range) {
  const found = new Map(groups.map((each) => [Date.parse(each.at), each]));
  return [...beginsOf(range)].map((at) => ({
    at, runs: found.get(at)?.runs ?? 0, outcomes: found.get(at)?.outcomes ?? {}, duration: found.get(at)?.duration ?? {},
  }));
}

/** The part of the URL that narrows the window to one hour or day. */
const narrowed = (range, { at }) => ({
  window: null, from: new Date(Math.max(at, range.from)).toISOString(),
  before: new Date(Math.min(at + lengthOf(range), range.before)).toISOString(),
});

/** Where entries stand in a chart, so that the pointer is at the one that it is over. */
const middlesOf = (entries, range) => entries.map(({ at }) => (at + lengthOf(range) / 2) / 1000);

export function OutcomesChart({ entries, range }) {
  const [hovered, setHovered] = useState(null);
  const data = useMemo(() => {
    // Stacked: the tallest is drawn first, the others over it.
    const columns = OUTCOMES.map((_, last) =>
      entries.map(({ outcomes }) => OUTCOMES.slice(0, last + 1).reduce((sum, each) => sum + (outcomes[each] ?? 0), 0)),
    );
    return [middlesOf(entries, range), ...columns.reverse()];
  }, [entries]);
  const make = (uPlot) => ({
    axes: axes((_, splits) => splits.map((each) => (Number.isInteger(each) ? number(each) : ""))),
    scales: { x: { range: () => [range.from / 1000, range.before / 1000] }, y: { range: (_, __, most) => [0, Math.max(4, most * 1.08)] } },
    series: [
      {},
      ...[...OUTCOMES].reverse().map((each) => ({
        fill: colorOf(each), stroke: colorOf(each), width: 0, points: { show: false },
        paths: uPlot.paths.bars({ size: [0.8, 40] }),
      })),
    ],
  });
  const shown = hovered === null ? null : entries[hovered];
  const step = range.step;
  return html`
    <figure class="card chart-card">
      <figcaption>
        <h2>Outcomes per ${step}</h2>
        <${Readout} entry=${shown} hint=${`Click at ${step === "hour" ? "an hour" : "a day"} to look into it`}>
          ${shown && OUTCOMES.filter((each) => shown.outcomes[each]).map(
            (each) => html`<span key=${each} class="reading" data-status=${each}><${Glyph} status=${each} size=${13} />${number(shown.outcomes[each])} ${LABELS[each].toLowerCase()}</span>`,
          )}
          ${shown && !shown.runs && html`<span class="muted">no run ended</span>`}
        <//>
      </figcaption>
      <${Chart} make=${make} data=${data} onHover=${setHovered}
        onPick=${(at) => setParams(narrowed(range, entries[at]), {})}
        label=${`Bar chart: runs that ended, by outcome, per ${step}. The table below holds its numbers.`} />
      <ul class="legend" aria-label="Outcomes">
        ${OUTCOMES.map((each) => html`<li key=${each} data-status=${each}><${Glyph} status=${each} size=${13} />${LABELS[each]}</li>`)}
      </ul>
      <${Numbers} entries=${entries} range=${range} caption=${`Runs that ended, per ${step}`}
        columns=${["Runs", ...OUTCOMES.map((each) => LABELS[each])]}
        cells=${({ runs, outcomes }) => [runs, ...OUTCOMES.map((each) => outcomes[each] ?? 0)].map(number)} />
    </figure>
  `;
}

/** Seconds between two lines: round ones for people. */
const STEPS = [
  0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14_400,
  21_600, 43_200, 86_400, 172_800, 432_000, 864_000, 2_592_000, 8_640_000, 31_536_000, 157_680_000,
];
const tick = (seconds) => (seconds ? duration(seconds).replace(" 00 s", "").replace(" 00 m", "").replace(" 00 h", "").replace(/\.0+ s/, " s") : "0");

const PERCENTILES = [["p50", "--added"], ["p95", "--accent"], ["p99", "--status-waiting_for_approval"]];

export function DurationsChart({ entries, range }) {
  const [hovered, setHovered] = useState(null);
  const data = useMemo(
    () => [
      middlesOf(entries, range),
      ...PERCENTILES.map(([name]) => entries.map((each) => each.duration[name] ?? null)),
    ],
    [entries],
  );
  const make = () => ({
    axes: axes((_, splits) => splits.map(tick), { size: 74, incrs: STEPS }),
    scales: { x: { range: () => [range.from / 1000, range.before / 1000] }, y: { range: (_, __, most) => [0, (most || 1) * 1.08] } },
    series: [
      {},
      ...PERCENTILES.map(([, name], at) => ({
        stroke: paint(name), width: 2, dash: [[], [8, 3], [2, 3]][at], points: { show: true, size: 5, fill: paint(name) },
      })),
    ],
  });
  const shown = hovered === null ? null : entries[hovered];
  return html`
    <figure class="card chart-card">
      <figcaption>
        <h2>Durations per ${range.step}</h2>
        <${Readout} entry=${shown} hint="From start to end, within 1 %">
          ${shown && PERCENTILES.map(([name]) => html`<span key=${name} class="reading">${name} ${duration(shown.duration[name])}</span>`)}
        <//>
      </figcaption>
      <${Chart} make=${make} data=${data} onHover=${setHovered}
        onPick=${(at) => setParams(narrowed(range, entries[at]), {})}
        label=${`Line chart: p50, p95 and p99 of durations, per ${range.step}. The table below holds its numbers.`} />
      <ul class="legend" aria-label="Percentiles">
        ${PERCENTILES.map(([name]) => html`<li key=${name}><span class=${`line-sample ${name}`} aria-hidden="true"></span>${name}</li>`)}
      </ul>
      <${Numbers} entries=${entries} range=${range} caption=${`Durations, per ${range.step}`}
        columns=${PERCENTILES.map(([name]) => name)} cells=${(each) => PERCENTILES.map(([name]) => duration(each.duration[name]))} />
    </figure>
  `;
}

const Readout = ({ entry, hint, children }) => html`
  <p class="readout" aria-hidden="true">
    ${entry ? html`<span class="number">${minuteTime(entry.at)}</span>${children}` : html`<span class="muted">${hint}</span>`}
  </p>
`;

const Numbers = ({ entries, range, caption, columns, cells }) => html`
  <details class="numbers">
    <summary>The same as a table</summary>
    <div class="numbers-scroll" tabIndex="0" role="region" aria-label=${caption}>
      <table>
        <caption class="unseen">${caption}</caption>
        <thead><tr><th scope="col">From</th>${columns.map((each) => html`<th scope="col" class="right" key=${each}>${each}</th>`)}</tr></thead>
        <tbody>
          ${entries.map(
            (entry) => html`
              <tr key=${entry.at}>
                <th scope="row"><a href=${withParams(narrowed(range, entry))} title=${fullTime(entry.at)}><${Time} at=${entry.at} format=${minuteTime} /></a></th>
                ${cells(entry).map((each, at) => html`<td class="right" key=${columns[at]}>${each}</td>`)}
              </tr>
            `,
          )}
        </tbody>
      </table>
    </div>
  </details>
`;
