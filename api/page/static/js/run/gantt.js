// Statuses and nested steps over time, notes along them. Only the rows in sight are drawn, so ten thousand cost nothing.
import { html, useEffect, useMemo, useRef, useState } from "../html.js";
import { duration, ms, number } from "../format.js";
import { useKeys } from "../keys.js";
import { useNow } from "../resource.js";
import { isActive, LABELS, TERMINAL } from "../statuses.js";
import { Icon } from "../ui/basics.js";
import { FONT, fitted, useCanvas } from "../chart/canvas.js";
import { drawAxis, makeScale, panned, zoomed } from "../chart/scale.js";
import { drawMarks, marksOf, MOST_NOTES, tellMark } from "./notes.js";
import { tellStatus, tellStep } from "./spans.js";
import { WhyTold } from "./why.js";

const AXIS = 26;
const BAND = 30;
const ROW = 24;
/** Pixels of the chart at most: a part of the window, the rest is scrolled to. */
const most = () => Math.round(Math.min(460, Math.max(190, innerHeight * 0.29)));

function boundsOf(spans, steps, now) {
  const from = Math.min(ms(spans.statuses[0]?.started_at ?? now), ...steps.slice(0, 1).map(({ begin }) => begin));
  const lastStatus = spans.statuses.at(-1);
  const ended = lastStatus && TERMINAL.has(lastStatus.status);
  let to = ended ? ms(lastStatus.started_at) : now;
  for (const { begin, end } of steps) to = Math.max(to, end ?? begin);
  const span = Math.max(to - from, 50);
  return { from: from - span * 0.01, to: to + span * 0.03 };
}

export function Gantt({ model }) {
  const spans = model.spans.read.value;
  const moment = model.time.value;
  const notes = model.notes.read.value;
  const lasts = isActive(model.current.value?.status) && !model.deleted.value;
  const ticking = useNow(1000, lasts && model.isNow.value);
  const now = model.deletedAt.value ?? ticking;
  const rows = spans?.steps ?? [];
  const bounds = useMemo(() => (spans ? boundsOf(spans, rows, now) : { from: 0, to: 1 }), [spans, now]);
  const [view, setView] = useState(null);
  const [tip, setTip] = useState(null);
  /** What was gone to by the keyboard: a mark of notes, or the `row` of a step. */
  const [chosen, setChosen] = useState(null);
  const scroller = useRef(null);
  const top = useRef(0);
  const scale = useRef(null);
  const shown = view ?? bounds;
  const end = moment ?? Math.max(bounds.to, now);
  const told = useMemo(() => tip?.tell(end), [tip, end]);

  const [canvas, redraw] = useCanvas((context, width, height, colors) => {
    if (!spans) return;
    const gutter = width < 560 ? 104 : 210;
    scale.current = makeScale(shown, gutter, width);
    context.font = FONT;
    drawAxis(context, scale.current, height, colors, AXIS);
    drawStatuses(context, spans.statuses, scale.current, end, colors);
    drawMarks(context, marksOf(notes, scale.current, end, bounds.to), AXIS + BAND - 8, chosen, colors);
    context.save();
    context.beginPath();
    context.rect(0, AXIS + BAND, width, height - AXIS - BAND);
    context.clip();
    const first = Math.floor(top.current / ROW);
    const last = Math.min(rows.length, Math.ceil((top.current + height) / ROW));
    for (let at = first; at < last; at += 1) {
      const y = AXIS + BAND + at * ROW - top.current;
      if (at === chosen?.row) {
        context.fillStyle = colors("accent-soft");
        context.fillRect(0, y, width, ROW);
      }
      drawStep(context, rows[at], y, scale.current, end, colors);
    }
    context.restore();
    context.fillStyle = colors("line");
    context.fillRect(0, AXIS + BAND - 0.5, width, 1);
    context.fillRect(gutter - 0.5, AXIS, 1, height);
    if (moment !== null) drawMoment(context, scale.current.x(moment), gutter, height, colors);
  });

  const find = (event) => {
    const box = canvas.current.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    const time = scale.current?.time(x);
    if (!scale.current || y < AXIS) return null;
    if (y < AXIS + BAND) {
      const mark = y > AXIS + BAND - 12 && marksOf(notes, scale.current, end, bounds.to).find((each) => x > each.x - 4 && x < each.right + 4);
      if (mark) return { x, y, tell: () => tellMark(notes, mark) };
      const status = spans.statuses.findLast((each) => ms(each.started_at) <= Math.min(time, end));
      return status && { x, y, tell: (until) => tellStatus(status, until) };
    }
    const step = rows[Math.floor((y - AXIS - BAND + top.current) / ROW)];
    return step && { x, y, tell: (until) => tellStep(step, until) };
  };
  /** What is seen once a time is in sight. */
  const withTime = (at) => (at < shown.from || at > shown.to ? panned(shown, at - (shown.from + shown.to) / 2, bounds) : shown);
  const choose = (next, what, place) => {
    if (next !== shown) setView(next);
    setChosen(what);
    setTip({ ...place, kept: true });
  };
  /** To the next mark of notes, or the one before; one out of sight is brought into it. */
  const stepNote = (by) => {
    if (!scale.current) return false;
    const { left, right } = scale.current;
    const seen = marksOf(notes, scale.current, end, bounds.to);
    const none = by > 0 ? { last: (seen[0]?.first ?? 0) - 1 } : { first: (seen.at(-1)?.last ?? notes.length - 1) + 1 };
    const from = chosen?.row === undefined ? (chosen ?? none) : none;
    const note = by > 0 ? from.last + 1 : from.first - 1;
    if (!notes[note] || notes[note].at > end) return undefined;
    const next = withTime(Math.min(notes[note].at, bounds.to));
    const marks = marksOf(notes, makeScale(next, left, right), end, bounds.to);
    const mark = marks.find(({ first, last }) => first <= note && note <= last);
    choose(next, mark, { x: mark.x, y: AXIS + BAND, tell: () => tellMark(notes, mark) });
    return undefined;
  };
  /** The same of the steps, as they stand below each other. */
  const stepStep = (by) => {
    if (!scale.current) return false;
    let row = (chosen?.row ?? (by > 0 ? -1 : rows.length)) + by;
    while (rows[row]?.begin > end) row += by;
    if (!rows[row]) return undefined;
    const step = rows[row];
    const next = withTime(step.begin);
    const room = scroller.current.clientHeight - AXIS - BAND - ROW;
    top.current = Math.max(0, Math.min(row * ROW, Math.max(top.current, row * ROW - room)));
    scroller.current.scrollTop = top.current;
    const { left, right } = scale.current;
    const x = Math.max(left, makeScale(next, left, right).x(step.begin));
    const y = AXIS + BAND + (row + 1) * ROW - top.current;
    choose(next, { row }, { x, y, tell: (until) => tellStep(step, until) });
    return undefined;
  };
  const leave = () => {
    setChosen(null);
    setTip(null);
  };
  const goTo = (version) => {
    leave();
    model.moveTo(version);
  };
  useKeys("Timeline", {
    n: ["Next note", () => stepNote(1)],
    N: ["Previous note", () => stepNote(-1)],
    s: ["Next step", () => stepStep(1)],
    S: ["Previous step", () => stepStep(-1)],
    ...(chosen && told?.causes.length && {
      Enter: ["To the event of this note or step", (event) => (event.target.closest("a, button, summary") ? false : goTo(told.causes.at(-1).version))],
      Escape: ["Leave the notes and steps", leave],
    }),
  });
  const drag = useRef(null);
  const zoom = (factor, around = (shown.from + shown.to) / 2) => setView(zoomed(shown, factor, around, bounds));
  useEffect(() => {
    const element = canvas.current;
    const wheel = (event) => {
      if (!event.ctrlKey && !event.metaKey && !event.shiftKey) return;
      event.preventDefault();
      const { left } = element.getBoundingClientRect();
      if (event.shiftKey) setView(panned(shown, ((event.deltaY || event.deltaX) / scale.current.per) * 0.5, bounds));
      else zoom(Math.exp(event.deltaY * 0.003), scale.current.time(event.clientX - left));
    };
    element?.addEventListener("wheel", wheel, { passive: false });
    return () => element?.removeEventListener("wheel", wheel);
  });
  const pointer = {
    onPointerDown: (event) => {
      drag.current = { x: event.clientX, view: shown, moved: false };
      event.currentTarget.setPointerCapture(event.pointerId);
    },
    onPointerMove: (event) => {
      setChosen(null);
      if (event.pointerType === "mouse") setTip(find(event));
      if (!drag.current) return;
      const by = event.clientX - drag.current.x;
      if (Math.abs(by) > 4) drag.current.moved = true;
      if (drag.current.moved && view) setView(panned(drag.current.view, -by / scale.current.per, bounds));
    },
    onPointerUp: (event) => {
      const click = drag.current && !drag.current.moved;
      drag.current = null;
      const { left } = canvas.current.getBoundingClientRect();
      const x = event.clientX - left;
      // A finger cannot hover: its first tap tells, the second one on the same goes there.
      const found = event.pointerType === "mouse" ? null : find(event);
      setTip(found && { ...found, kept: true });
      if (click && x >= scale.current.left && (!found || isSame(found.tell(end), told))) model.moveToTime(scale.current.time(x));
    },
    onPointerLeave: (event) => event.pointerType === "mouse" && leave(),
  };
  const inside = AXIS + BAND + rows.length * ROW + 8;
  return html`
    <section class="card gantt" aria-label="Timeline">
      <div class="gantt-tools">
        <h2>Timeline</h2><span class="muted">${stepsOf(rows, model.spans.cut.value)}${notes.length > 0 && `, ${counted(notes.length, "note")}`}</span>
        ${model.notes.cut.value && html`<span class="hint" role="note">There are more notes: only the first ${number(MOST_NOTES)} are drawn.</span>`}
        <span class="spacer"></span>
        <button class="button plain small icon-only" aria-label="Zoom in" title="Zoom in (Ctrl + wheel)" onClick=${() => zoom(0.5)}><${Icon} name="plus" /></button>
        <button class="button plain small icon-only" aria-label="Zoom out" title="Zoom out" onClick=${() => zoom(2)}><${Icon} name="minus" /></button>
        <button class="button plain small icon-only" aria-label="Whole run" title="Whole run" onClick=${() => setView(null)}><${Icon} name="fit" /></button>
      </div>
      <div class="gantt-scroll" tabIndex="0" role="region" aria-label="Statuses and steps over time" ref=${scroller}
        style=${{ height: `${Math.min(inside, most())}px` }}
        onScroll=${(event) => {
          if (Math.abs(top.current - event.currentTarget.scrollTop) < 1) return; // by the keyboard
          top.current = event.currentTarget.scrollTop;
          leave();
          redraw();
        }}>
        <div class="gantt-all" style=${{ height: `${inside}px` }}>
          <canvas ref=${canvas} ...${pointer} style=${{ height: `${Math.min(inside, most())}px` }} role="img"
            aria-label=${describe(spans, rows, notes, model.spans.cut.value)}></canvas>
        </div>
      </div>
      <span class="unseen" role="status">${chosen && told && [told.title, ...told.lines].filter(Boolean).join(", ")}</span>
      ${tip &&
      html`<div class="tip" style=${{ left: `${Math.min(tip.x + 14, (canvas.current?.clientWidth ?? 600) - 250)}px`, top: `${tip.y + 50}px` }}>
        <b>${told.title}</b>${told.lines.filter(Boolean).map((line) => html`<span>${line}</span>`)}
        <${WhyTold} model=${model} causes=${told.causes} kept=${tip.kept} onGo=${goTo} />
      </div>`}
    </section>
  `;
}

const isSame = (a, b) => a.title === b?.title && a.lines.join() === b.lines.join();

const counted = (count, what) => `${number(count)} ${what}${count === 1 ? "" : "s"}`;
const stepsOf = ({ length }, cut) => (cut ? `The first ${number(length)} steps` : length ? counted(length, "step") : "No steps");

function describe(spans, rows, notes, cut) {
  if (!spans) return "Timeline";
  const statuses = spans.statuses.map(({ status, seconds }) => `${LABELS[status]} ${seconds === null ? "" : duration(seconds)}`);
  const failed = rows.filter(({ outcome }) => outcome === "failed").map(({ name }) => name).slice(0, 5);
  const remarks = notes.length ? ` ${counted(notes.length, "note")}: n and N go through them.` : "";
  return `${statuses.join(", then ")}. ${stepsOf(rows, cut)}${failed.length ? `, failed: ${failed.join(", ")}` : ""}.${remarks}`;
}

function box(context, x, y, width, height, radius) {
  context.beginPath();
  context.roundRect(x, y, Math.max(width, 2), height, radius);
  context.fill();
}

function drawStatuses(context, statuses, scale, moment, colors) {
  context.textBaseline = "middle";
  context.fillStyle = colors("muted");
  context.fillText("Status", 12, AXIS + BAND / 2);
  context.save();
  context.beginPath();
  context.rect(scale.left, AXIS, scale.right - scale.left, BAND);
  context.clip();
  for (const { status, started_at: started, finished_at: finished } of statuses) {
    const begin = ms(started);
    if (begin > moment) continue;
    const terminal = !finished && TERMINAL.has(status);
    const at = scale.x(begin);
    const x = terminal && at < scale.right ? Math.min(at, scale.right - 13) : at; // whole, however narrow the chart
    const right = terminal ? x + 12 : scale.x(Math.min(finished ? ms(finished) : moment, moment));
    context.fillStyle = colors(`status-${status}`);
    context.globalAlpha = terminal ? 1 : 0.85;
    box(context, x + 0.5, AXIS + 6, right - x - 1, 13, 3);
    context.globalAlpha = 1;
    const text = fitted(context, LABELS[status], right - x - 12);
    if (text) {
      context.fillStyle = colors("surface");
      context.fillText(text, Math.max(x, scale.left) + 6, AXIS + 13);
    }
  }
  context.restore();
}

function drawStep(context, step, y, scale, moment, colors) {
  const future = step.begin > moment;
  context.globalAlpha = future ? 0.3 : 1;
  context.fillStyle = colors("ink");
  context.textBaseline = "middle";
  const indent = 12 + Math.min(step.depth, 8) * 12;
  context.fillText(fitted(context, step.name, scale.left - indent - 8), indent, y + ROW / 2);
  if (!future) {
    const open = step.end === null || step.end > moment;
    const outcome = open ? "open" : step.outcome;
    const x = Math.max(scale.x(step.begin), scale.left);
    const right = Math.min(scale.x(open ? moment : step.end), scale.right);
    if (right >= scale.left && x <= scale.right) {
      context.fillStyle = colors(`status-${outcome}`);
      context.globalAlpha = open ? 0.55 : 0.9;
      box(context, x, y + 5, right - x, ROW - 10, 3);
      context.globalAlpha = 1;
      const label = outcome === "failed" ? "✕ failed" : "";
      if (label) {
        context.fillStyle = colors("surface");
        if (right - x > 60) context.fillText(label, x + 6, y + ROW / 2 + 0.5);
        else {
          context.fillStyle = colors("status-failed");
          context.fillText(label, right + 5, y + ROW / 2 + 0.5);
        }
      }
    }
  }
  context.globalAlpha = 1;
}

function drawMoment(context, x, gutter, height, colors) {
  if (x < gutter) return;
  context.fillStyle = colors("accent");
  context.fillRect(x - 1, AXIS - 6, 2, height);
  context.beginPath();
  context.arc(x, AXIS - 6, 4, 0, 7);
  context.fill();
}
