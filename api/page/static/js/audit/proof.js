// What proves a ledger: its size, and the root that all of its events hash to.
import { html, useState } from "../html.js";
import { get } from "../api.js";
import { number } from "../format.js";
import { useResource } from "../resource.js";
import { CopyButton } from "../ui/basics.js";

const AT_ONCE = 200_000; // events that are hashed without being asked for

/** Read again with every `round`. */
export function Proof({ round }) {
  const [wanted, setWanted] = useState(false);
  const ledger = useResource((signal) => get("ledger", {}, { signal }), [round]);
  const size = ledger.data?.size;
  const due = size !== undefined && (wanted || size <= AT_ONCE);
  const root = useResource((signal) => (due ? get("ledger/root", { size }, { signal }) : undefined), [due, size]);
  return html`
    <section class="proof" aria-label="Proof">
      <div><span class="label">Ledger</span> ${ledger.data?.ledger ?? "…"}</div>
      <div><span class="label">Size</span> <span class="number">${size === undefined ? "…" : `${number(size)} events`}</span></div>
      <div class="root">
        <span class="label" title="Merkle root (RFC 9162, SHA-256)">Root</span>
        ${root.data && html`<code class="clip" title=${root.data.root}>${root.data.root}</code>
          <${CopyButton} text=${`${root.data.size} ${root.data.root}`} what="size and root" />`}
        ${!root.data && root.problem && html`<span class="error">${root.problem.message}</span>`}
        ${!root.data && !root.problem && (due || size === undefined
          ? html`<span class="muted">…</span>`
          : html`<button class="button small" onClick=${() => setWanted(true)}>Compute</button>`)}
      </div>
      ${ledger.problem && html`<span class="error">${ledger.problem.message}</span>`}
    </section>
  `;
}
