// A canvas that is as sharp as the screen, draws once a frame at most, and again when the theme changes.
import { useEffect, useRef } from "../html.js";
import { painted } from "../theme.js";

/** Gives a ref for the canvas and a function that has `draw(context, width, height, colors)` called soon. */
export function useCanvas(draw) {
  const canvas = useRef(null);
  const latest = useRef(draw);
  latest.current = draw;
  const redraw = useRef(null);
  redraw.current ||= scheduler(canvas, latest);
  useEffect(() => {
    const observer = new ResizeObserver(redraw.current);
    observer.observe(canvas.current);
    const stop = painted.subscribe(redraw.current);
    return () => {
      observer.disconnect();
      stop();
    };
  }, []);
  useEffect(redraw.current);
  return [canvas, redraw.current];
}

function scheduler(canvas, latest) {
  let frame = 0;
  const paint = () => {
    frame = 0;
    const element = canvas.current;
    if (!element) return;
    const ratio = devicePixelRatio || 1;
    const { clientWidth: width, clientHeight: height } = element;
    if (element.width !== Math.round(width * ratio) || element.height !== Math.round(height * ratio)) {
      element.width = Math.round(width * ratio);
      element.height = Math.round(height * ratio);
    }
    const context = element.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    latest.current(context, width, height, readColors());
  };
  return () => {
    frame ||= requestAnimationFrame(paint);
  };
}

/** Colors of the style sheet by name, as a canvas takes them. */
function readColors() {
  const probe = readColors.probe ?? (readColors.probe = document.createElement("i"));
  if (!probe.isConnected) {
    probe.hidden = true;
    document.body.append(probe);
  }
  const known = new Map();
  return (name) => {
    if (!known.has(name)) {
      probe.style.color = `var(--${name}, var(--muted))`;
      known.set(name, getComputedStyle(probe).color);
    }
    return known.get(name);
  };
}

const widths = new Map();

/** The text, cut with an ellipsis to a width. Widths of letters are remembered: measuring costs more than drawing. */
export function fitted(context, text, width) {
  let left = width;
  let at = 0;
  for (const letter of text) {
    const key = context.font + letter;
    let size = widths.get(key);
    if (size === undefined) {
      size = context.measureText(letter).width;
      if (widths.size > 5000) widths.clear();
      widths.set(key, size);
    }
    left -= size;
    if (left < 0) return at < 2 ? "" : `${text.slice(0, at - 1).replace(/[\ud800-\udbff]$/, "")}…`;
    at += letter.length;
  }
  return text;
}

export const FONT = "12px system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', sans-serif";
