// JSON values as people read them: indented, long ones folded. Always text.
import { html, useState } from "../html.js";
import { json } from "../format.js";

const LONG = 4000;

export function Value({ value }) {
  const [whole, setWhole] = useState(false);
  if (value === null || value === undefined) return html`<span class="none">–</span>`;
  if (typeof value === "string" && !value.includes("\n") && value.length < 200) return html`<span class="value-text">${value}</span>`;
  const text = typeof value === "string" ? value : json(value, 2);
  if (typeof value !== "object" && text.length < 200) return html`<span class="number">${text}</span>`;
  const shown = whole || text.length <= LONG ? text : text.slice(0, LONG);
  return html`
    <pre class="json" tabIndex=${text.split("\n").length > 18 ? 0 : undefined}>${shown}${shown.length < text.length && "…"}</pre>
    ${shown.length < text.length &&
    html`<button class="button small" onClick=${() => setWhole(true)}>Show all of ${Math.ceil(text.length / 1024)} kB</button>`}
  `;
}
