// Statuses of executions and outcomes of steps: what they are called, and their glyph. Never color alone.
import { paint } from "./theme.js";

export const STATUSES = [
  "pending", "preparing", "running", "waiting_for_approval", "stopping",
  "completed", "failed", "stopped", "rejected", "cancelled",
];
export const TERMINAL = new Set(["stopped", "completed", "failed", "rejected", "cancelled"]);

export const LABELS = {
  pending: "Pending", preparing: "Preparing", running: "Running", waiting_for_approval: "Needs approval",
  stopping: "Stopping", stopped: "Stopped", completed: "Completed", failed: "Failed", rejected: "Rejected",
  cancelled: "Cancelled", skipped: "Skipped", open: "Open",
};

export const isActive = (status) => !TERMINAL.has(status);

/** Paths of 16 × 16; `fill` where the shape is solid. */
export const GLYPHS = {
  pending: [{ d: "M8 2.5a5.5 5.5 0 1 0 0 11 5.5 5.5 0 0 0 0-11", dash: "2.4 2.2" }],
  preparing: [{ d: "M8 2.5a5.5 5.5 0 1 0 0 11 5.5 5.5 0 0 0 0-11" }, { d: "M8 2.5v11a5.5 5.5 0 0 0 0-11", fill: true }],
  running: [{ d: "M8 1.8a6.2 6.2 0 1 0 0 12.4A6.2 6.2 0 0 0 8 1.8" }, { d: "M6.4 5.2v5.6L11 8z", fill: true }],
  waiting_for_approval: [
    { d: "M8 1.8a6.2 6.2 0 1 0 0 12.4A6.2 6.2 0 0 0 8 1.8" }, { d: "M6.2 5.6v4.8M9.8 5.6v4.8" },
  ],
  stopping: [{ d: "M3.5 3.5h9v9h-9z", dash: "2.4 1.6" }, { d: "M6.3 6.3h3.4v3.4H6.3z", fill: true }],
  stopped: [{ d: "M3.2 3.2h9.6v9.6H3.2z", fill: true }],
  completed: [{ d: "M8 1.8a6.2 6.2 0 1 0 0 12.4A6.2 6.2 0 0 0 8 1.8" }, { d: "M5.2 8.2 7.2 10.2 10.9 6" }],
  failed: [{ d: "M8 1.8 14.2 8 8 14.2 1.8 8z" }, { d: "M6 6l4 4M10 6l-4 4" }],
  rejected: [{ d: "M8 1.8a6.2 6.2 0 1 0 0 12.4A6.2 6.2 0 0 0 8 1.8" }, { d: "M3.8 3.8l8.4 8.4" }],
  cancelled: [{ d: "M8 1.8a6.2 6.2 0 1 0 0 12.4A6.2 6.2 0 0 0 8 1.8" }, { d: "M5 8h6" }],
  skipped: [{ d: "M3 4l4.5 4L3 12M8.5 4 13 8l-4.5 4" }],
  open: [{ d: "M8 1.8a6.2 6.2 0 1 0 0 12.4A6.2 6.2 0 0 0 8 1.8" }, { d: "M6.4 5.2v5.6L11 8z", fill: true }],
};

/** The color of a status in the present theme, for canvases. */
export const colorOf = (status) => paint(Object.hasOwn(LABELS, status) ? `--status-${status}` : "--muted");
