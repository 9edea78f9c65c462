// Two charts, drawn by uPlot, in the colors of the page.
import { html, useEffect, useRef } from "../html.js";
import { duration, ms, number } from "../format.js";
import { LABELS } from "../statuses.js";
import { painted } from "../theme.js";

const OUTCOMES = ["completed", "stopped", "cancelled", "rejected", "failed"];
const HEIGHT = 230;

/** Every hour or day of the window, those without runs as well. */
function axisOf({ from, before, step }) {
  const at = [];
  const begin = step > 3_600_000 ? Math.floor(from / step) * step : from;
  for (let time = begin; time < before; time += step) at.push(time / 1000);
  return at;
}

function aligned(groups, times, value) {
  const byTime = new Map(groups.map((group) => [ms(group.at) / 1000, value(group)]));
  return times.map((time) => byTime.get(time));
}

/** A color of the style sheet as a canvas takes it, which knows nothing of `light-dark()`. */
function resolved(name) {
  const probe = document.createElement("i");
  probe.style.color = `var(--${name})`;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

function Chart({ options, data, label, onShow }) {
  const place = useRef(null);
  const theme = painted.value;
  useEffect(() => {
    let chart = null;
    let gone = false;
    let observer = null;
    import("uplot").then(({ default: UPlot }) => {
      if (gone) return;
      const axis = { stroke: resolved("muted"), grid: { stroke: resolved("line"), width: 1 }, ticks: { show: false }, font: "12px system-ui, sans-serif" };
      const shown = options(UPlot, axis);
      chart = new UPlot({ width: place.current.clientWidth, height: HEIGHT, padding: [10, 8, 0, 0], ...shown }, data, place.current);
      chart.over.addEventListener("click", () => {
        const at = chart.cursor.idx;
        if (at !== null && at !== undefined) onShow(data[0][at] * 1000);
      });
      observer = new ResizeObserver(() => place.current && chart.setSize({ width: place.current.clientWidth, height: HEIGHT }));
      observer.observe(place.current);
    });
    return () => {
      gone = true;
      observer?.disconnect();
      chart?.destroy();
    };
  }, [data, theme]);
  return html`<div class="chart" ref=${place} role="img" aria-label=${label}></div>`;
}

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const day = new Intl.DateTimeFormat(undefined, { day: "2-digit", month: "short" });
/** The clock, or the day where one begins. */
const labels = (_, splits) =>
  splits.map((time) => {
    const at = new Date(time * 1000);
    return at.getHours() || at.getMinutes() ? clock.format(at) : day.format(at);
  });

const zoneTime = (UPlot) => ({ tzDate: (time) => UPlot.tzDate(new Date(time * 1000), Intl.DateTimeFormat().resolvedOptions().timeZone) });

export function OutcomeChart({ groups, window, onShow }) {
  const times = axisOf(window);
  const present = OUTCOMES.filter((outcome) => groups.some(({ outcomes }) => outcomes[outcome]));
  const counts = present.map((outcome) => aligned(groups, times, ({ outcomes }) => outcomes[outcome]).map((each) => each ?? 0));
  // Stacked: each series is drawn up to the sum of those below it, the highest first.
  const sums = counts.map((_, at) => times.map((__, time) => counts.slice(0, at + 1).reduce((sum, each) => sum + each[time], 0)));
  const order = present.map((_, at) => present.length - 1 - at);
  const data = useStable([times, ...order.map((at) => sums[at])], JSON.stringify([times[0], counts]));
  const options = (UPlot, axis) => ({
    ...zoneTime(UPlot),
    scales: { y: { range: (_, __, most) => [0, Math.max(1, most) * 1.05] }, x: { range: (_, from, to) => [from - window.step / 2000, to + window.step / 2000] } },
    axes: [{ ...axis, size: 30, values: labels }, { ...axis, size: 52, values: (_, splits) => splits.map((each) => (Number.isInteger(each) ? number(each) : "")) }],
    series: [
      { value: (_, at) => (at === null ? "–" : new Date(at * 1000).toLocaleString()) },
      ...order.map((at) => ({
        label: LABELS[present[at]], fill: resolved(`status-${present[at]}`), stroke: resolved("surface"), width: 1, points: { show: false },
        paths: UPlot.paths.bars({ size: [0.8, 60] }), value: (_, __, ___, index) => (index === null ? "–" : number(counts[at][index])),
      })),
    ],
  });
  const total = groups.reduce((sum, { runs }) => sum + runs, 0);
  return html`<${Chart} data=${data} options=${options} onShow=${onShow} label=${`${number(total)} runs by outcome; the table below tells the numbers`} />`;
}

export function DurationChart({ groups, window, onShow }) {
  const times = axisOf(window);
  const names = ["p50", "p95", "p99"];
  const values = names.map((name) => aligned(groups, times, ({ duration: took }) => took[name]).map((each) => each ?? null));
  const data = useStable([times, ...values], JSON.stringify([times[0], values]));
  const tones = ["status-running", "status-waiting_for_approval", "status-failed"];
  const options = (UPlot, axis) => ({
    ...zoneTime(UPlot),
    scales: { y: { range: (_, __, most) => [0, (most || 1) * 1.08] }, x: { range: (_, from, to) => [from - window.step / 2000, to + window.step / 2000] } },
    axes: [{ ...axis, size: 30, values: labels }, { ...axis, size: 72, values: (_, splits) => splits.map((each) => (each ? duration(each) : "0")) }],
    series: [
      { value: (_, at) => (at === null ? "–" : new Date(at * 1000).toLocaleString()) },
      ...names.map((name, at) => ({
        label: name, stroke: resolved(tones[at]), width: 2, dash: [[], [8, 4], [2, 3]][at], spanGaps: true, points: { size: 6 },
        value: (_, each) => duration(each),
      })),
    ],
  });
  return html`<${Chart} data=${data} options=${options} onShow=${onShow} label="Durations, p50, p95 and p99; the table below tells the numbers" />`;
}

function useStable(value, key) {
  const kept = useRef({ key: null, value });
  if (kept.current.key !== key) kept.current = { key, value };
  return kept.current.value;
}
