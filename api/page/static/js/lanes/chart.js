// The canvas of lanes: zoom, pan, and what lies under the pointer.
import { html, useEffect, useRef, useState } from "../html.js";
import { duration, fullTime } from "../format.js";
import { useCanvas } from "../chart/canvas.js";
import { makeScale, panned, zoomed } from "../chart/scale.js";
import { go, runUrl } from "../router.js";
import { LABELS } from "../statuses.js";
import { barAt, drawLanes } from "./draw.js";
import { statusAt } from "./data.js";

/** `view` is what is seen of `bounds`; `clip` the time of a replay. `onSelect` is told a stretch dragged with Shift. */
export function LaneChart({ lanes, bounds, view, onView, clip, onSelect, description }) {
  const top = useRef(0);
  const frame = useRef(null);
  const drag = useRef(null);
  const pointers = useRef(new Map());
  const [tip, setTip] = useState(null);
  const [choice, setChoice] = useState(null);
  const all = lanes.length ? lanes.at(-1).top + lanes.at(-1).height : 0;
  const [canvas, redraw] = useCanvas((context, width, height, colors) => {
    const now = Date.now();
    const scale = makeScale(view, 12, width - 12);
    top.current = Math.max(0, Math.min(top.current, all + 60 - height));
    frame.current = { lanes, scale, top: top.current, now, clip, height, colors, selected: tip?.bar.job_id };
    drawLanes(context, frame.current);
    if (choice) {
      context.fillStyle = colors("accent");
      context.globalAlpha = 0.18;
      context.fillRect(scale.x(choice.from), 0, scale.x(choice.to) - scale.x(choice.from), height);
      context.globalAlpha = 1;
    }
  });
  const place = (event) => {
    const box = canvas.current.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  /** How far apart two fingers are, and the time between them, which stays where it is. */
  const startOf = (fingers) => {
    const pinch = pinchOf(fingers);
    return pinch && { ...pinch, time: frame.current.scale.time(pinch.middle - canvas.current.getBoundingClientRect().left) };
  };
  const scrollBy = (by) => {
    top.current = Math.max(0, top.current + by);
    redraw();
  };
  useEffect(() => {
    const element = canvas.current;
    const wheel = (event) => {
      event.preventDefault();
      const { scale } = frame.current;
      if (event.ctrlKey || event.metaKey) onView(zoomed(view, Math.exp(event.deltaY * 0.003), scale.time(place(event)[0]), bounds));
      else if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) onView(panned(view, (event.deltaX || event.deltaY) / scale.per, bounds));
      else scrollBy(event.deltaY);
    };
    element.addEventListener("wheel", wheel, { passive: false });
    return () => element.removeEventListener("wheel", wheel);
  });
  const pointer = {
    onPointerDown: (event) => {
      if (event.button) return; // the menu of the browser
      event.currentTarget.setPointerCapture(event.pointerId);
      if (event.isPrimary) pointers.current.clear(); // the first finger: whatever was never told to be gone is gone
      pointers.current.set(event.pointerId, event);
      const [x, y] = place(event);
      drag.current = { x, y, top: top.current, view, moved: false, choosing: event.shiftKey, pinch: startOf(pointers.current) };
    },
    onPointerMove: (event) => {
      const [x, y] = place(event);
      const now = drag.current;
      if (!now) {
        const bar = frame.current && barAt(frame.current, x, y);
        setTip(bar ? { bar, x, y } : null);
        return;
      }
      pointers.current.set(event.pointerId, event);
      const { scale } = frame.current;
      if (Math.hypot(x - now.x, y - now.y) > 4) now.moved = true;
      if (!now.moved) return;
      setTip(null);
      const pinch = pinchOf(pointers.current);
      if (pinch && now.pinch) onView(zoomed(now.view, now.pinch.apart / pinch.apart, now.pinch.time, bounds));
      else if (now.choosing) setChoice({ from: scale.time(Math.min(x, now.x)), to: scale.time(Math.max(x, now.x)) });
      else {
        top.current = Math.max(0, now.top - (y - now.y));
        onView(panned(now.view, -(x - now.x) / scale.per, bounds));
        redraw();
      }
    },
    onPointerUp: (event) => {
      pointers.current.delete(event.pointerId);
      const now = drag.current;
      drag.current = null;
      if (choice) {
        onSelect(choice);
        setChoice(null);
      } else if (now && !now.moved && !now.pinch) {
        const bar = barAt(frame.current, ...place(event));
        if (bar && (event.ctrlKey || event.metaKey)) window.open(runUrl(bar.job_id), "_blank", "noopener"); // as a link
        else if (bar) go(runUrl(bar.job_id));
      }
    },
    onPointerCancel: (event) => {
      pointers.current.delete(event.pointerId);
      drag.current = null;
      setChoice(null);
    },
    onPointerLeave: () => !drag.current && setTip(null),
  };
  const keys = (event) => {
    const quarter = (view.to - view.from) / 4;
    const action = {
      ArrowLeft: () => onView(panned(view, -quarter, bounds)), ArrowRight: () => onView(panned(view, quarter, bounds)),
      ArrowDown: () => scrollBy(60), ArrowUp: () => scrollBy(-60), PageDown: () => scrollBy(300), PageUp: () => scrollBy(-300),
    }[event.key];
    if (!action) return;
    event.preventDefault();
    event.stopPropagation();
    action();
  };
  return html`
    <div class="lane-chart">
      <canvas ref=${canvas} ...${pointer} tabIndex="0" role="img" aria-label=${description} onKeyDown=${keys}></canvas>
      ${tip && html`<${Tip} ...${tip} clip=${clip} box=${canvas.current} />`}
    </div>
  `;
}

function pinchOf(pointers) {
  if (pointers.size !== 2) return null;
  const [a, b] = [...pointers.values()].map(({ clientX }) => clientX);
  return { apart: Math.max(20, Math.abs(a - b)), middle: (a + b) / 2 };
}

/** Above what it tells of where there is no room below. */
function Tip({ bar, x, y, clip, box: { clientWidth: width, clientHeight: height } }) {
  const status = clip === null ? bar.status : (statusAt(bar, clip) ?? "pending");
  const end = bar.end ?? clip ?? Date.now();
  return html`
    <div class="tip" style=${{ left: `${Math.max(4, Math.min(x + 14, width - 260))}px`, ...(y > height / 2 ? { bottom: `${height - y + 12}px` } : { top: `${y + 18}px` }) }}>
      <b>${bar.name}</b><span>${bar.job_id}</span>
      <span>${LABELS[status]} · ${duration((end - (bar.started ?? bar.created)) / 1000)}</span>
      <span>${fullTime(bar.created)}</span>${bar.error && html`<span>${bar.error}</span>`}
    </div>
  `;
}
