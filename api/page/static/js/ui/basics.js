// Small parts that all views share. All text is put in as text: nothing here takes HTML.
import { html, useEffect, useRef, useState } from "../html.js";
import { GLYPHS, LABELS } from "../statuses.js";
import { duration, fullTime, shortTime, utcTime } from "../format.js";

const ICONS = {
  runs: "M3 4h10M3 8h10M3 12h6",
  lanes: "M2 4h6M6 8h8M4 12h5",
  audit: "M4 2.5h8v11H4zM6.2 6h3.6M6.2 8.5h3.6",
  statistics: "M2.5 13.5v-4M6.2 13.5v-8M9.8 13.5v-6M13.5 13.5v-11",
  health: "M1.8 8.5h3l1.8-5 2.8 9 1.6-4h3.2",
  search: "M7 2.5a4.5 4.5 0 1 0 0 9 4.5 4.5 0 0 0 0-9M10.4 10.4l3.4 3.4",
  close: "M4 4l8 8M12 4l-8 8",
  copy: "M5.5 5.5h8v8h-8zM10.5 5.5v-3h-8v8h3",
  check: "M3 8.5l3.2 3.2L13 4.8",
  help: "M8 1.8a6.2 6.2 0 1 0 0 12.4A6.2 6.2 0 0 0 8 1.8M6 6.3a2 2 0 1 1 2.8 1.9c-.5.2-.8.6-.8 1.1M8 11.3v.2",
  sun: "M8 5.2a2.8 2.8 0 1 0 0 5.6 2.8 2.8 0 0 0 0-5.6M8 1v1.6M8 13.4V15M1 8h1.6M13.4 8H15M3.05 3.05l1.1 1.1M11.85 11.85l1.1 1.1M3.05 12.95l1.1-1.1M11.85 4.15l1.1-1.1",
  moon: "M13.5 9.6A6 6 0 0 1 6.4 2.5a6 6 0 1 0 7.1 7.1",
  system: "M2 3h12v8H2zM6 13.5h4",
  filter: "M2 3.5h12M4.5 8h7M7 12.5h2",
  play: "M4.5 3v10l8-5z",
  pause: "M5 3v10M11 3v10",
  previous: "M11.5 3v10L5 8zM4 3v10",
  next: "M4.5 3v10L11 8zM12 3v10",
  out: "M6 2.5H2.5v11H6M10.5 5 13.5 8l-3 3M13 8H6",
  link: "M6.5 9.5 9.5 6.5M7 4.5l1.5-1.5a3 3 0 0 1 4.5 4.5L11.5 9M9 11.5 7.5 13A3 3 0 0 1 3 8.5L4.5 7",
  down: "M8 2.5v8M4.5 7.5 8 11l3.5-3.5M3 13.5h10",
  up: "M8 13V3.5M4.5 7 8 3.5 11.5 7",
  right: "M6 3.5 10.5 8 6 12.5",
  plus: "M8 3v10M3 8h10",
  minus: "M3 8h10",
  fit: "M2.5 6V2.5H6M10 2.5h3.5V6M13.5 10v3.5H10M6 13.5H2.5V10",
  fold: "M4 6.2 8 10l4-3.8",
  live: "M8 6.4a1.6 1.6 0 1 0 0 3.2 1.6 1.6 0 0 0 0-3.2M4.5 11.5a5 5 0 0 1 0-7M11.5 4.5a5 5 0 0 1 0 7",
};

export const Icon = ({ name, size = 16 }) => html`
  <svg class="icon" width=${size} height=${size} viewBox="0 0 16 16" aria-hidden="true"><path d=${ICONS[name]} /></svg>
`;

export const Glyph = ({ status, size = 16 }) => html`
  <svg class="icon glyph" width=${size} height=${size} viewBox="0 0 16 16" aria-hidden="true">
    ${(GLYPHS[status] ?? GLYPHS.pending).map(
      ({ d, fill, dash }) => html`<path d=${d} class=${fill ? "solid" : ""} stroke-dasharray=${dash} />`,
    )}
  </svg>
`;

/** A status, told by color, shape and word. */
export const Status = ({ status, quiet = false }) => html`
  <span class=${quiet ? "status quiet" : "status"} data-status=${status}>
    <${Glyph} status=${status} /><span class="word">${LABELS[status] ?? status}</span>
  </span>
`;

/** An instant in the reader's zone; UTC on hover. */
export const Time = ({ at, format = shortTime }) =>
  at
    ? html`<time dateTime=${typeof at === "number" ? new Date(at).toISOString() : at}
        title=${`${utcTime(at)}\n${fullTime(at)}`}>${format(at)}</time>`
    : html`<span class="none">–</span>`;

export const Duration = ({ seconds }) => html`<span class="number">${duration(seconds)}</span>`;

/** Says something to a screen reader, and to everybody for a moment. */
const said = { show: null };
export const say = (text, tone = "") => said.show?.({ text, tone, key: Math.random() });

export function Announcer() {
  const [message, setMessage] = useState(null);
  said.show = setMessage;
  useEffect(() => {
    if (!message) return undefined;
    const timer = setTimeout(() => setMessage(null), message.tone === "bad" ? 9000 : 4000);
    return () => clearTimeout(timer);
  }, [message]);
  return html`<div class="toast-place" role="status" aria-live="polite">
    ${message && html`<p class=${`toast ${message.tone}`} key=${message.key}>${message.text}</p>`}
  </div>`;
}

export const Loading = ({ what = "Loading" }) => html`
  <div class="state loading" role="status"><span class="spinner" aria-hidden="true"></span>${what}…</div>
`;

export const Empty = ({ title, heading, children }) => html`
  <div class="state empty">${heading ? html`<h1 class="state-title">${title}</h1>` : html`<p class="state-title">${title}</p>`}${children && html`<div>${children}</div>`}</div>
`;

export const Failure = ({ problem, retry }) => html`
  <div class="state failure" role="alert">
    <p class="state-title">${problem.title ?? "Something went wrong"}</p>
    <p>${problem.message}</p>
    ${retry && html`<button class="button" onClick=${retry}>Try again</button>`}
  </div>
`;

/** A modal window: the browser keeps the focus inside it and gives it back. */
export function Dialog({ title, onClose, children, wide = false }) {
  const element = useRef(null);
  useEffect(() => {
    element.current.showModal();
  }, []);
  return html`
    <dialog ref=${element} class=${wide ? "dialog wide" : "dialog"} aria-labelledby="dialog-title" onClose=${onClose}
      onCancel=${(event) => event.stopPropagation()}
      onMouseDown=${(event) => event.target === element.current && element.current.close()}>
      <div class="dialog-body">
        <header class="dialog-head">
          <h2 id="dialog-title">${title}</h2>
          <button class="button plain icon-only" aria-label="Close" onClick=${() => element.current.close()}>
            <${Icon} name="close" />
          </button>
        </header>
        ${children}
      </div>
    </dialog>
  `;
}

export async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
    say(`${what} copied`);
  } catch {
    say("The browser did not let the page copy", "bad");
  }
}

export const CopyButton = ({ text, what, label }) => html`
  <button class=${label ? "button" : "button plain icon-only"} aria-label=${label ? undefined : `Copy ${what}`}
    title=${`Copy ${what}`} onClick=${() => copy(typeof text === "function" ? text() : text, what)}>
    <${Icon} name="copy" />${label}
  </button>
`;
