// The time slider: any moment of a run, played again or step by step.
import { html, useEffect, useRef, useState } from "../html.js";
import { fullTime, ms, number } from "../format.js";
import { useKeys } from "../keys.js";
import { Icon, Time } from "../ui/basics.js";

const SPEEDS = [1, 2, 5, 10, 25, 50, 100];
const LONGEST_WAIT = 2000; // milliseconds of the viewer's: longer silences are cut

/** Plays: the clock of the run goes on, `speed` times as fast as it happened. */
function usePlayer(model, speed) {
  const [playing, setPlaying] = useState(false);
  const factor = useRef(speed);
  factor.current = speed;
  useEffect(() => {
    if (!playing) return undefined;
    let frame = 0;
    let before = performance.now();
    let clock = null;
    let silent = 0;
    const tick = (now) => {
      frame = requestAnimationFrame(tick);
      const passed = now - before;
      before = now;
      let version = model.at.peek();
      const here = model.events.peek(version);
      model.events.want(version, version + 400);
      if (!here) return;
      clock ??= ms(here.recorded_at);
      clock += passed * factor.current;
      silent += passed;
      let next = model.events.peek(version + 1);
      if (next && silent > LONGEST_WAIT) clock = Math.max(clock, ms(next.recorded_at));
      while (next && ms(next.recorded_at) <= clock) {
        version += 1;
        silent = 0;
        next = model.events.peek(version + 1);
      }
      if (version === model.at.peek()) return;
      const done = version >= model.last.peek();
      model.moveTo(version, { keep: done });
      if (done) setPlaying(false);
    };
    frame = requestAnimationFrame(tick);
    return () => cancelAnimationFrame(frame);
  }, [playing, model]);
  const toggle = () => {
    if (playing) model.moveTo(model.version.peek()); // only now, since the URL may be another view's by the time of a clean-up
    else if (model.isNow.peek()) model.moveTo(1, { keep: false });
    setPlaying(!playing);
  };
  return [playing, toggle, () => setPlaying(false)];
}

export function Player({ model }) {
  const [speed, setSpeed] = useState(10);
  const [playing, toggle, stop] = usePlayer(model, speed);
  const last = model.last.value;
  const at = model.at.value;
  const now = model.isNow.value;
  const step = (by) => {
    stop();
    model.moveTo(model.at.peek() + by);
  };
  const faster = (by) => setSpeed(SPEEDS[Math.min(SPEEDS.length - 1, Math.max(0, SPEEDS.indexOf(speed) + by))]);
  useKeys("Time", {
    " ": ["Play, pause", (event) => (event.target.closest("button, a, summary") ? false : toggle())],
    ArrowLeft: ["One event back", () => step(-1)],
    ArrowRight: ["One event on", () => step(1)],
    Home: ["To the first event", () => step(-last)],
    End: ["To now", () => (stop(), model.moveTo(null))],
    "+": ["Faster", () => faster(1)],
    "-": ["Slower", () => faster(-1)],
  });
  const shown = model.shown.value;
  return html`
    <section class="card player" aria-label="Time">
      <div class="player-buttons">
        <button class="button plain icon-only" aria-label="One event back" title="One event back (←)" disabled=${at <= 1}
          onClick=${() => step(-1)}><${Icon} name="previous" /></button>
        <button class="button icon-only" aria-label=${playing ? "Pause" : "Play"} title="Play (Space)" onClick=${toggle}
          disabled=${last < 2}><${Icon} name=${playing ? "pause" : "play"} /></button>
        <button class="button plain icon-only" aria-label="One event on" title="One event on (→)" disabled=${now}
          onClick=${() => step(1)}><${Icon} name="next" /></button>
        <select aria-label="Speed" value=${speed} onChange=${(event) => setSpeed(Number(event.currentTarget.value))}>
          ${SPEEDS.map((each) => html`<option key=${each} value=${each} selected=${each === speed}>×${each}</option>`)}
        </select>
      </div>
      <input class="player-slider" type="range" min="1" max=${Math.max(1, last)} step="1" value=${at}
        aria-label="Moment, by event" aria-valuetext=${`Event ${at} of ${last}${shown ? `, ${fullTime(shown.updated_at)}` : ""}`}
        onInput=${(event) => (stop(), model.moveTo(Number(event.currentTarget.value), { keep: false }))}
        onChange=${() => model.moveTo(model.version.peek())}
        onKeyDown=${(event) => /^(Arrow|Home|End)/.test(event.key) && event.preventDefault()} />
      <div class="player-moment">
        <span class="number">${number(at)}<span class="muted"> / ${number(last)}</span></span>
        <${Time} at=${shown?.updated_at} />
        <button class="button small" aria-pressed=${String(now)} onClick=${() => (stop(), model.moveTo(null))}>Now</button>
      </div>
    </section>
  `;
}
