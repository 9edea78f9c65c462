// Runs over time, in lanes; any stretch of it can be played again.
import { html, useEffect, useMemo, useState } from "../html.js";
import { fromInput, LATEST, ms, number, shortTime, toInput } from "../format.js";
import { useKeys } from "../keys.js";
import { known, listen } from "../live.js";
import { LiveMark } from "../livemark.js";
import { useLater, useNow, useResource } from "../resource.js";
import { here, setParams, withParams } from "../router.js";
import { Empty, Failure, Icon, Loading, say } from "../ui/basics.js";
import { LaneChart } from "../lanes/chart.js";
import { loadReplay, loadRuns } from "../lanes/data.js";
import { pack } from "../lanes/pack.js";
import { ReplayBar, ReplayStory, useReplay } from "../lanes/replay.js";
import { zoomed } from "../chart/scale.js";

const SPANS = { "15m": 15, "1h": 60, "3h": 180, "12h": 720, "1d": 1440, "7d": 10_080 };
const MINUTE = 60_000;

/** What the URL says: a stretch that ends now, or one that stands still; and perhaps a replay of a part of it. */
function readWindow(params) {
  const [from, to] = [params.get("from"), params.get("to")].map((text) => (text ? ms(text) : NaN));
  const fixed = from < to;
  const last = SPANS[params.get("last")] ? params.get("last") : "1h";
  const [begin, end] = (params.get("replay") ?? "").split("~").map(ms);
  return { fixed, last: fixed ? null : last, from, to, replay: begin < end ? { from: begin, to: end } : null };
}

const iso = (time) => new Date(time).toISOString();

export function Lanes() {
  const { params } = here.value;
  const asked = params.toString();
  const window = useMemo(() => readWindow(params), [asked]);
  const now = useNow(1000, !window.fixed && !window.replay);
  const bounds = window.fixed ? window : { from: now - SPANS[window.last] * MINUTE, to: now };
  const replaying = window.replay;
  const [read, setRead] = useState(0);
  const found = useResource(
    async (signal) => {
      setRead(0);
      await known();
      if (replaying) return loadReplay(replaying, signal, setRead);
      return loadRuns(window.fixed ? window : { from: Date.now() - SPANS[window.last] * MINUTE, to: Date.now() }, signal, setRead);
    },
    [asked],
  );
  // While a replay is read, the runs of the view before it are not its story.
  const data = found.data && Boolean(found.data.story) === Boolean(replaying) ? found.data : undefined;
  const reload = useLater(found.reload, 2500);
  useEffect(() => (window.fixed || replaying ? undefined : listen(reload, reload)), [asked]);

  const by = params.get("by") ?? "name";
  const lanes = useMemo(() => (data ? pack(data.bars, by, Date.now()) : []), [data, by]);
  const [view, setView] = useState(null);
  useEffect(() => setView(null), [asked]);
  const until = data?.until;
  const played = useMemo(() => replaying && { ...replaying, to: until ?? replaying.to }, [replaying, until]);
  const player = useReplay(played);
  const outer = played ?? bounds;
  const seen = view ?? outer;
  const zoom = (factor) => setView(zoomed(seen, factor, (seen.from + seen.to) / 2, outer));
  const replay = (stretch) => setParams({ replay: `${iso(stretch.from)}~${iso(stretch.to)}` }, { replace: false });
  useKeys("Lanes", {
    "+": ["Zoom in", () => zoom(0.6)],
    "-": ["Zoom out", () => zoom(1.7)],
    0: ["All of it", () => setView(null)],
    p: ["Play what is seen again", () => replay(seen)],
  });
  const failed = lanes.reduce((sum, lane) => sum + lane.failed, 0);
  let content;
  if (found.problem && !data) content = html`<${Failure} problem=${found.problem} retry=${found.reload} />`;
  else if (!data) content = html`<${Loading} what=${`Reading runs${read ? `, ${number(read)} so far` : ""}`} />`;
  else if (!lanes.length) content = html`<${Empty} title="No run in this time"><a href="/lanes?last=7d">The last seven days</a><//>`;
  else {
    content = html`<${LaneChart} lanes=${lanes} bounds=${outer} view=${seen} onView=${setView} onSelect=${replay}
      clip=${replaying ? player.at : null}
      description=${`${number(data.bars.length)} runs in ${lanes.length} lanes, ${number(failed)} failed. The list of runs tells the same.`} />`;
  }
  return html`
    <div class="page">
      <div class="page-head">
        <h1>${replaying ? "Incident replay" : "Lanes"}</h1>
        ${!window.fixed && !replaying && html`<${LiveMark} />`}
        <span class="muted nowrap">${shortTime(seen.from)} – ${shortTime(seen.to)}</span>
      </div>
      <${Controls} window=${window} by=${by} seen=${seen} onZoom=${zoom} onAll=${() => setView(null)} onReplay=${() => replay(seen)} />
      ${replaying && html`<${ReplayBar} window=${played} player=${player} onClose=${() => setParams({ replay: null }, { replace: false })} />`}
      ${replaying && data && html`<${ReplayStory} bars=${data.bars} story=${data.story ?? []} at=${player.at} />`}
      <div class="card lanes-card">${content}</div>
      ${data?.cuts.length > 0 && html`<p class="hint" role="note">${data.cuts.join(" ")} Choose a shorter time.</p>`}
    </div>
  `;
}

function Controls({ window, by, seen, onZoom, onAll, onReplay }) {
  if (window.replay) return null;
  const shown = (at) => (window.fixed ? toInput(iso(at)).slice(0, 16) : "");
  // Only once it is sent: a year is typed digit by digit, and each of them would be a time.
  const apply = (event) => {
    event.preventDefault();
    const data = new FormData(event.currentTarget);
    const timeOf = (name, at) => fromInput(data.get(name), iso(window.fixed ? window[name] : at), shown(window[name])) ?? iso(at);
    const [from, to] = [timeOf("from", seen.from), timeOf("to", seen.to)];
    if (ms(from) < ms(to)) setParams({ last: null, from, to }, {});
    else say("The time ends before it begins: choose an earlier one to begin with, or a later one to end", "bad");
  };
  return html`
    <div class="lane-tools">
      <div class="segmented" role="group" aria-label="How far back">
        ${Object.keys(SPANS).map((each) => html`<button key=${each} class="button small" aria-pressed=${String(window.last === each)}
          onClick=${() => setParams({ last: each, from: null, to: null })}>${each}</button>`)}
      </div>
      <form class="joined lane-times" key=${`${window.fixed} ${window.from} ${window.to}`} onSubmit=${apply} aria-label="From and to">
        ${[["from", "From"], ["to", "To"]].map(
          ([name, label]) => html`
            <label key=${`${name} label`} class="unseen" for=${`lanes-${name}`}>${label}</label>
            <input key=${name} id=${`lanes-${name}`} name=${name} class="small-input" type="datetime-local" max=${LATEST} defaultValue=${shown(window[name])} />
          `,
        )}
        <button class="button">Apply</button>
      </form>
      <label class="unseen" for="lanes-by">Lanes by</label>
      <select id="lanes-by" value=${by} onChange=${(event) => setParams({ by: event.currentTarget.value === "name" ? null : event.currentTarget.value })}>
        ${[["name", "by name"], ["kind", "by type"], ["none", "in one lane"]].map(([value, text]) => html`<option key=${value} value=${value} selected=${value === by}>${text}</option>`)}
      </select>
      <span class="joined">
        <button class="button icon-only" aria-label="Zoom in" onClick=${() => onZoom(0.6)}><${Icon} name="plus" /></button>
        <button class="button icon-only" aria-label="Zoom out" onClick=${() => onZoom(1.7)}><${Icon} name="minus" /></button>
        <button class="button icon-only" aria-label="All of it" onClick=${onAll}><${Icon} name="fit" /></button>
      </span>
      <a class="button" href=${withParams({ from: iso(seen.from), before: iso(seen.to) }, "/", "")}>As a list</a>
      <button class="button primary" onClick=${onReplay} title="Play what is seen again (p); Shift and drag to choose a part"><${Icon} name="play" />Replay</button>
    </div>
  `;
}
