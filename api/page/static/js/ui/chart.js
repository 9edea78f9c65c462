// Charts by uPlot, which is fetched when the first one is shown. The same numbers stand in a table beside each.
import { html, useEffect, useRef } from "../html.js";
import { paint, painted } from "../theme.js";

/**
 * `make(uPlot)` gives options, colors of the present theme among them; `data` is in columns. `onPick(index)` hears of a
 * click at a point, `onHover(index)` where the pointer is, null when it has left.
 */
export function Chart({ make, data, label, onPick, onHover, height = 220 }) {
  const place = useRef(null);
  const chart = useRef(null);
  const heard = useRef({});
  heard.current = { onPick, onHover };
  const look = painted.value;
  useEffect(() => {
    let gone = false;
    let observer;
    import("uplot").then(
      ({ default: uPlot }) => {
        const element = place.current;
        if (gone || !element) return;
        const options = make(uPlot);
        chart.current = new uPlot(
          {
            width: element.clientWidth, height, legend: { show: false }, ...options,
            cursor: { y: false, drag: { x: false, y: false }, points: { show: false }, ...options.cursor },
            hooks: { setCursor: [({ cursor }) => heard.current.onHover?.(cursor.left < 0 ? null : cursor.idx)] },
          },
          data, element,
        );
        observer = new ResizeObserver(() => chart.current?.setSize({ width: element.clientWidth, height }));
        observer.observe(element);
      },
      () => {}, // the table has the numbers
    );
    return () => {
      gone = true;
      observer?.disconnect();
      chart.current?.destroy();
      chart.current = null;
    };
  }, [data, look]);
  const pick = () => {
    const at = chart.current?.cursor.idx;
    if (at !== null && at !== undefined) heard.current.onPick?.(at);
  };
  return html`<div class=${onPick ? "chart pickable" : "chart"} ref=${place} role="img" aria-label=${label} onClick=${pick}></div>`;
}

/** Axes in the colors of the theme; times in the reader's zone. */
export function axes(values, { size = 52, incrs } = {}) {
  const shared = { stroke: paint("--muted"), font: "12px system-ui, sans-serif", ticks: { show: false } };
  return [
    { ...shared, grid: { show: false }, values: times, size: 28, gap: 8 },
    { ...shared, grid: { stroke: paint("--line"), width: 1 }, values, size, ...(incrs && { incrs }) },
  ];
}

const DAY = 86_400;
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const day = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const times = (_, splits, __, ___, step) =>
  splits.map((at) => (step >= DAY || new Date(at * 1000).getHours() === 0 ? day : clock).format(at * 1000));
