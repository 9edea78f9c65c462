// All events of a run: who, when, why and what. However many there are, only those in sight are read and drawn.
import { html, useEffect, useRef } from "../html.js";
import { apart, brief, dayTime, eventName, isSameDay, number, preciseTime } from "../format.js";
import { Glyph, Time } from "../ui/basics.js";
import { VirtualList } from "../ui/virtual.js";

/** What an event says, in a line. */
export function summary({ type, data }) {
  if (data === null) return "erased";
  switch (type) {
    case "execution.noted":
      return data.text;
    case "execution.step_started":
      return `step ${apart(data.name ?? data.step_id)} began`;
    case "execution.step_finished":
      return `step ${apart(data.step_id)} ${data.outcome}${data.error ? `: ${data.error}` : ""}`;
    case "execution.deleted":
      return "taken out of the history";
    default: {
      const { status, started_at: _s, completed_at: _c, created_at: _r, job_id: _j, ...rest } = data;
      const told = Object.entries(rest).filter(([, value]) => value !== null);
      return told.map(([name, value]) => `${name}: ${brief(value, 80)}`).join(" · ");
    }
  }
}

/** The glyph of an event: of the status or outcome that it tells. */
const glyphOf = ({ type, data }) => data?.status ?? data?.outcome ?? (type === "execution.step_started" ? "open" : null);

export function Events({ model }) {
  const handle = useRef(null);
  const at = model.at.value;
  const count = model.events.count.value;
  model.events.changed.value; // drawn again with every page
  const touched = useRef(false);
  useEffect(() => {
    if (!touched.current) handle.current?.show(at - 1);
    touched.current = false;
  }, [at, count > 0]);
  const { created_at: begin, updated_at: end } = model.current.value;
  const format = isSameDay(begin, end) ? preciseTime : dayTime;
  const row = (index) => {
    const version = index + 1;
    const event = model.events.peek(version);
    const state = version === at ? " selected" : version > at ? " later" : "";
    if (!event) return html`<div class="event-row" role="listitem" key=${version}><span class="muted number">${number(version)}</span><span class="muted">…</span></div>`;
    const glyph = glyphOf(event);
    return html`
      <div class=${`event-row${state}`} role="listitem" key=${version} data-status=${glyph}>
        <button class="event-button" aria-current=${version === at ? "true" : undefined}
          onClick=${() => {
            touched.current = true;
            model.moveTo(version);
          }}>
          <span class="event-version number muted">${number(version)}</span>
          <span class="event-mark">${glyph ? html`<${Glyph} status=${glyph} />` : html`<span class="dot"></span>`}</span>
          <span class="event-what clip"><b>${eventName(event.type)}</b> <span class="muted">${brief(summary(event), 300)}</span></span>
          <span class="event-who clip">${event.actor}${event.reason && html` <span class="muted">“${brief(event.reason, 120)}”</span>`}</span>
          <span class="event-when"><${Time} at=${event.recorded_at} format=${format} /></span>
        </button>
      </div>
    `;
  };
  return html`
    <section class="card panel events" aria-label="Events">
      <div class="panel-head"><h2>Events</h2><span class="muted number">${number(count)}</span></div>
      <${VirtualList} count=${count} row=${row} handle=${handle} role="list" label="Events" className="event-list" keep=${at - 1}
        onRange=${(first, last) => model.events.want(first + 1, last + 1)} />
    </section>
  `;
}
