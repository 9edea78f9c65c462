// A long list, of which only the rows in sight are in the document: a million rows cost what forty do.
import { html, useLayoutEffect, useRef, useState } from "../html.js";

const SPARE = 8; // rows above and below what is seen
const TALLEST = 15_000_000; // pixels that every browser can scroll

/**
 * `row(at)` gives what row `at` shows, `onRange(first, last)` hears which rows are seen, `onScroll(top)` how far down that
 * is. Rows are as high as the custom property `--row` of the style sheet says, so that a phone may have higher ones. With
 * `handle` the caller can scroll; row `keep` stays in sight when the list changes its height.
 */
export function VirtualList({ count, row, onRange, onScroll, label, role = "rowgroup", handle, className = "", keep = null }) {
  const outer = useRef(null);
  const [view, setView] = useState({ top: 0, height: 800, rowHeight: 44 });
  const frame = useRef(0);
  const last = useRef(null);
  const seen = useRef(0);
  const kept = useRef(keep);
  kept.current = keep;

  const measure = () => {
    frame.current = 0;
    const element = outer.current;
    if (!element) return;
    // Whatever stands above the list keeps its columns, with a scroll bar or without.
    element.parentElement.style.setProperty("--scrollbar", `${element.offsetWidth - element.clientWidth}px`);
    const rowHeight = parseFloat(getComputedStyle(element).getPropertyValue("--row")) || 44;
    const next = { top: element.scrollTop, height: element.clientHeight, rowHeight };
    setView((before) =>
      before.top === next.top && before.height === next.height && before.rowHeight === rowHeight ? before : next,
    );
    onScroll?.(element.scrollTop);
    if (kept.current !== null && seen.current !== next.height) handle?.current?.show(kept.current);
    seen.current = next.height;
  };
  const later = () => (frame.current ||= requestAnimationFrame(measure));
  useLayoutEffect(() => {
    measure();
    const observer = new ResizeObserver(later);
    observer.observe(outer.current);
    return () => {
      observer.disconnect();
      cancelAnimationFrame(frame.current);
    };
  }, []);

  const { rowHeight, height } = view;
  const real = count * rowHeight;
  const tall = Math.min(real, TALLEST);
  // Where all rows are more than a browser can scroll, the scroll bar stands for a part of them all.
  const stretch = tall > height && real > tall ? (real - height) / (tall - height) : 1;
  const top = Math.min(view.top * stretch, Math.max(0, real - height));
  const first = Math.max(0, Math.floor(top / rowHeight) - SPARE);
  const end = Math.min(count, Math.ceil((top + height) / rowHeight) + SPARE);

  useLayoutEffect(() => {
    const seen = `${first} ${end}`;
    if (end > first && last.current !== seen) {
      last.current = seen;
      onRange?.(first, end - 1);
    }
  });

  if (handle) {
    handle.current = {
      toTop: () => outer.current?.scrollTo({ top: 0 }),
      /** Bring a row into sight; `align` puts it into the middle. */
      show(at, align = false) {
        const element = outer.current;
        if (!element) return;
        const begin = at * rowHeight;
        const shown = element.scrollTop * stretch;
        const height = element.clientHeight; // now, whatever was last drawn
        if (!align && begin >= shown && begin + rowHeight <= shown + element.clientHeight) return;
        const target = align || begin < shown ? begin - (align ? (height - rowHeight) / 2 : 0) : begin + rowHeight - height;
        element.scrollTop = Math.max(0, target) / stretch;
        measure();
      },
      element: () => outer.current,
    };
  }
  const shift = first * rowHeight - (top - view.top);
  const rows = [];
  for (let at = first; at < end; at += 1) rows.push(row(at));
  return html`
    <div ref=${outer} class=${`virtual ${className}`} onScroll=${later} aria-label=${label}
      role=${role}>
      <div class="virtual-all" role="presentation" style=${{ height: `${tall}px` }}>
        <div class="virtual-seen" role="presentation" style=${{ transform: `translateY(${shift}px)` }}>${rows}</div>
      </div>
    </div>
  `;
}
