// An incident played again: a clock that runs through a window, and what had happened by then.
import { html, useEffect, useMemo, useRef, useState } from "../html.js";
import { clockTime, number } from "../format.js";
import { useKeys } from "../keys.js";
import { runUrl } from "../router.js";
import { LABELS, STATUSES } from "../statuses.js";
import { Glyph, Icon, Status, Time } from "../ui/basics.js";
import { statusAt } from "./data.js";

const SPEEDS = [1, 5, 10, 30, 60, 120, 300, 600];

/** The speed at which a window takes about forty seconds. */
const fitting = (window) => SPEEDS.findLast((speed) => speed <= (window.to - window.from) / 40_000) ?? 1;

export function useReplay(window) {
  const [at, setAt] = useState(window?.from ?? 0);
  const [playing, setPlaying] = useState(false);
  const [speed, setSpeed] = useState(10);
  const factor = useRef(speed);
  factor.current = speed;
  useEffect(() => {
    if (!window) return;
    setAt(window.from);
    setSpeed(fitting(window));
    setPlaying(false);
  }, [window?.from, window?.to]);
  useEffect(() => {
    if (!playing || !window) return undefined;
    let before = performance.now();
    let frame = requestAnimationFrame(function tick(now) {
      setAt((time) => Math.min(window.to, time + (now - before) * factor.current));
      before = now;
      frame = requestAnimationFrame(tick);
    });
    return () => cancelAnimationFrame(frame);
  }, [playing, window]);
  useEffect(() => {
    if (playing && window && at >= window.to) setPlaying(false);
  }, [at]);
  const toggle = () => {
    if (at >= window.to) setAt(window.from);
    setPlaying(!playing);
  };
  return { at, setAt, playing, toggle, speed, setSpeed };
}

export function ReplayBar({ window, player, onClose }) {
  const { at, setAt, playing, toggle, speed, setSpeed } = player;
  const step = (window.to - window.from) / 100;
  const move = (by) => setAt(Math.min(window.to, Math.max(window.from, at + by)));
  useKeys("Replay", {
    " ": ["Play, pause", (event) => (event.target.closest("button, a") ? false : toggle())],
    "[": ["A little back", () => move(-step)],
    "]": ["A little on", () => move(step)],
    Escape: ["End the replay", onClose],
  });
  return html`
    <section class="card player" aria-label="Incident replay">
      <div class="player-buttons">
        <button class="button icon-only" aria-label=${playing ? "Pause" : "Play"} title="Play (Space)" onClick=${toggle}>
          <${Icon} name=${playing ? "pause" : "play"} /></button>
        <select aria-label="Speed" value=${speed} onChange=${(event) => setSpeed(Number(event.currentTarget.value))}>
          ${SPEEDS.map((each) => html`<option key=${each} value=${each} selected=${each === speed}>×${each}</option>`)}
        </select>
      </div>
      <input class="player-slider" type="range" min=${window.from} max=${window.to} step="any" value=${at} aria-label="Time"
        aria-valuetext=${clockTime(at)} onInput=${(event) => setAt(Number(event.currentTarget.value))} />
      <div class="player-moment"><${Time} at=${at} format=${clockTime} />
        <button class="button small" onClick=${onClose}>End the replay</button></div>
    </section>
  `;
}

/** How many runs were in which status, and what happened last. */
export function ReplayStory({ bars, story, at }) {
  const counts = {};
  for (const bar of bars) {
    const status = statusAt(bar, at);
    if (status) counts[status] = (counts[status] ?? 0) + 1;
  }
  const times = useMemo(() => story.map(({ at: time }) => time), [story]);
  let [low, high] = [0, times.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (times[middle] <= at) low = middle + 1;
    else high = middle;
  }
  return html`
    <div class="replay-story">
      <ul class="counts" aria-label="Runs by status at this time">
        ${STATUSES.map((status) => html`<li key=${status} class="count fixed" data-status=${status} data-count=${counts[status] ?? 0}>
          <${Glyph} status=${status} size=${14} />${LABELS[status]}<b>${number(counts[status] ?? 0)}</b></li>`)}
      </ul>
      <ol class="replay-last" aria-label="What happened last">
        ${story.slice(Math.max(0, low - 4), low).reverse().map(
          (each) => html`<li key=${`${each.job_id} ${each.at} ${each.status}`} class="clip"><${Time} at=${each.at} format=${clockTime} /> <${Status} status=${each.status} quiet />
            <a href=${runUrl(each.job_id)}>${each.name}</a>${each.error && html` <span class="muted">${each.error}</span>`}</li>`,
        )}
      </ol>
    </div>
  `;
}
