// Draws lanes: rectangles on whole pixels, color by color. A path of thousands costs a browser without a graphics card
// twice the time.
import { FONT, fitted } from "../chart/canvas.js";
import { drawAxis } from "../chart/scale.js";
import { number } from "../format.js";
import { HEAD, ROW } from "./pack.js";

export const AXIS = 28;

/** `clip`: the time of a replay, after which nothing has happened yet; null where it does not play. */
export function drawLanes(context, { lanes, scale, top, height, colors, clip, now, selected }) {
  context.font = FONT;
  drawAxis(context, scale, height, colors, AXIS);
  context.save();
  context.beginPath();
  context.rect(0, AXIS, scale.right, height - AXIS);
  context.clip();
  const until = clip ?? now;
  const boxes = new Map();
  const marks = [];
  const box = (color, x, y, right, height) => {
    if (!boxes.has(color)) boxes.set(color, []);
    const left = Math.round(Math.max(x, scale.left - 4));
    const width = Math.round(right) - left;
    boxes.get(color).push(left, Math.round(y), width > 3 ? width - 1 : Math.max(width, 1), height); // the next one stands apart
  };
  const rect = (status, x, y, right) => box(`status-${status}`, x, y, right, ROW - 4);
  for (const lane of lanes) {
    const y = AXIS + lane.top - top;
    if (y > height || y + lane.height < AXIS) continue;
    for (const bar of lane.bars) {
      const end = Math.min(bar.end ?? until, until);
      if (bar.created > scale.to) break; // they are in the order of their creation
      if (bar.created > until || end < scale.from) continue;
      const by = y + HEAD + bar.row * ROW;
      if (by > height || by + ROW < AXIS) continue;
      if (clip !== null) {
        bar.turns.forEach(([at, status], index) => {
          const next = bar.turns[index + 1]?.[0] ?? (bar.end === at ? at : until);
          if (at <= until && next >= scale.from) rect(status, scale.x(at), by, scale.x(Math.min(next, until)) + (bar.end === at ? 5 : 0));
        });
      } else {
        const start = bar.started ?? bar.created;
        if (start > bar.created) box("line-strong", scale.x(bar.created), by + (ROW - 4) / 2 - 1, scale.x(Math.min(start, end)), 2);
        rect(bar.status, scale.x(start), by, scale.x(end));
      }
      const width = scale.x(end) - scale.x(bar.created);
      if (width > 56 || bar.job_id === selected) marks.push([bar, by, width]);
    }
  }
  for (const [color, all] of boxes) {
    context.fillStyle = colors(color);
    for (let at = 0; at < all.length; at += 4) context.fillRect(all[at], all[at + 1], all[at + 2], all[at + 3]);
  }
  context.textBaseline = "middle";
  for (const [bar, y, width] of marks) {
    const x = Math.max(scale.x(bar.started ?? bar.created), scale.left);
    if (bar.job_id === selected) {
      context.strokeStyle = colors("ink");
      context.lineWidth = 2;
      context.strokeRect(scale.x(bar.created) - 1, y - 1, Math.max(width, 3) + 2, ROW - 2);
    }
    const text = fitted(context, bar.job_id, width - 10 - (x - scale.x(bar.created)));
    context.fillStyle = colors("surface");
    if (text.length > 3) context.fillText(text, x + 5, y + (ROW - 4) / 2 + 0.5);
  }
  for (const lane of lanes) {
    const y = AXIS + lane.top - top;
    if (y > height || y + lane.height < 0) continue;
    context.fillStyle = colors("line");
    context.fillRect(0, Math.round(y) - 0.5, scale.right, 1);
    context.fillStyle = colors("ink");
    const title = fitted(context, lane.title, Math.min(420, scale.right - 120));
    context.fillText(title, 12, y + HEAD / 2 + 1);
    const after = 12 + context.measureText(title).width + 8;
    context.fillStyle = colors("muted");
    context.fillText(summary(lane, clip, until), after, y + HEAD / 2 + 1);
  }
  context.restore();
  const x = scale.x(until);
  if (x >= scale.left && x <= scale.right) {
    context.fillStyle = colors("accent");
    context.fillRect(x - (clip === null ? 0.5 : 1), AXIS - 6, clip === null ? 1 : 2, height);
  }
}

/** How many runs a lane holds, and how many of them need a look: never by color alone. */
function summary(lane, clip, until) {
  const failed = clip === null ? lane.failed : lane.bars.filter((bar) => bar.turns.some(([at, status]) => status === "failed" && at <= until)).length;
  return `${number(lane.bars.length)} ${lane.bars.length === 1 ? "run" : "runs"}${failed ? ` · ✕ ${number(failed)} failed` : ""}`;
}

/** The bar under a point. */
export function barAt({ lanes, scale, top, now, clip }, x, y) {
  const inside = y - AXIS + top;
  const lane = lanes.find((each) => inside >= each.top && inside < each.top + each.height);
  if (!lane || y < AXIS) return null;
  const row = Math.floor((inside - lane.top - HEAD) / ROW);
  const near = 4 / scale.per;
  const time = scale.time(x);
  const until = clip ?? now;
  return lane.bars.find((bar) => bar.row === row && bar.created - near <= time && Math.min(bar.end ?? until, until) + near >= time) ?? null;
}

