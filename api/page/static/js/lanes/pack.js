// Lanes: runs of one name below each other, in as few rows as do not overlap.
export const ROW = 16;
export const HEAD = 24;

const GROUPS = { name: (bar) => bar.name, kind: (bar) => bar.kind || "no type", none: () => "All runs" };

/** `[{ title, top, height, rows, bars }]`; every bar gets its `row`. */
export function pack(bars, by, now) {
  const lanes = new Map();
  const group = GROUPS[by] ?? GROUPS.name;
  for (const bar of bars) {
    const title = group(bar);
    if (!lanes.has(title)) lanes.set(title, []);
    lanes.get(title).push(bar);
  }
  let top = 0;
  return [...lanes].sort(([a], [b]) => a.localeCompare(b)).map(([title, inside]) => {
    inside.sort((a, b) => a.created - b.created);
    const ends = [];
    for (const bar of inside) {
      let row = ends.findIndex((end) => end <= bar.created);
      if (row < 0) row = ends.length;
      ends[row] = Math.max(bar.end ?? now, bar.created + 1);
      bar.row = row;
    }
    const failed = inside.filter(({ status }) => status === "failed").length;
    const lane = { title, top, rows: ends.length, height: HEAD + ends.length * ROW + 8, bars: inside, failed };
    top += lane.height;
    return lane;
  });
}
