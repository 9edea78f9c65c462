// The ledger's size, and what it hashes to: to be compared with a root that is held elsewhere.
import { html, useState } from "../html.js";
import { get } from "../api.js";
import { number } from "../format.js";
import { useResource } from "../resource.js";
import { CopyButton } from "../ui/basics.js";

const AT_ONCE = 100_000; // events; the root reads the hash of each

export function LedgerProof() {
  const ledger = useResource((signal) => get("ledger", {}, { signal }), []);
  const size = ledger.data?.size;
  const [asked, setAsked] = useState(false);
  const root = useResource(
    (signal) => (size !== undefined && (asked || size <= AT_ONCE) ? get("ledger/root", { size }, { signal }) : null),
    [size, asked],
  );
  if (size === undefined) return null;
  return html`
    <dl class="proof">
      <div><dt>Ledger</dt><dd>${ledger.data.ledger}</dd></div>
      <div><dt>Size</dt><dd class="number">${number(size)} events</dd></div>
      <div class="proof-root"><dt>Root</dt><dd>
        ${root.data
          ? html`<code class="clip" title=${root.data.root}>${root.data.root}</code><${CopyButton} what="root" text=${root.data.root} />`
          : root.problem ? html`<span class="error">${root.problem.message}</span>`
          : root.loading ? html`<span class="muted">computing…</span>`
          : html`<button class="button small" onClick=${() => setAsked(true)}>Compute</button>`}
      </dd></div>
    </dl>
  `;
}
