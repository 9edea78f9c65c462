// A row that is wider than its place, as the filters are on a phone: what is chosen of it is in sight.
import { useLayoutEffect, useRef } from "preact/hooks";

const EDGE = 8; // pixels that are left beside it

/** Gives a ref for the row. Only the row is scrolled, and only when `dependencies` change. */
export function useInSight(selector, dependencies) {
  const row = useRef(null);
  useLayoutEffect(() => {
    const chosen = selector && row.current?.querySelector(selector);
    if (!chosen) return;
    const [place, box] = [row.current.getBoundingClientRect(), chosen.getBoundingClientRect()];
    if (box.right > place.right) row.current.scrollLeft += box.right - place.right + EDGE;
    else if (box.left < place.left) row.current.scrollLeft += box.left - place.left - EDGE;
  }, dependencies);
  return row;
}
