// How many runs are in each status, and the filter by it.
import { html } from "../html.js";
import { number, shortNumber } from "../format.js";
import { setParams } from "../router.js";
import { LABELS, STATUSES } from "../statuses.js";
import { Glyph } from "../ui/basics.js";
import { useInSight } from "../ui/sight.js";

const toggled = (chosen, status) =>
  chosen.includes(status) ? chosen.filter((each) => each !== status) : [...chosen, status];

/** They are of the whole ledger; with `whole` that is told, since the list is of less. */
export function StatusCounts({ ledger, chosen, whole }) {
  const all = ledger?.executions;
  const latest = STATUSES.find((status) => status === chosen.at(-1));
  const row = useInSight(latest && `[data-status="${latest}"]`, [latest, Boolean(ledger)]);
  return html`
    <div class="counts" role="group" aria-label="Filter by status" ref=${row}>
      ${whole && html`<span class="hint counts-of">In the whole ledger:</span>`}
      <button class="count" aria-pressed=${String(!chosen.length)} onClick=${() => setParams({ status: null })}
        title=${all === undefined ? "" : number(all)}>All <b>${all === undefined ? "…" : shortNumber(all)}</b></button>
      ${STATUSES.filter((status) => ledger?.statuses[status] || chosen.includes(status)).map(
        (status) => html`
          <button key=${status} class="count" data-status=${status} aria-pressed=${String(chosen.includes(status))}
            title=${number(ledger?.statuses[status] ?? 0)}
            onClick=${() => setParams({ status: toggled(chosen, status) })}>
            <${Glyph} status=${status} size=${14} />${LABELS[status]}<b>${shortNumber(ledger?.statuses[status] ?? 0)}</b>
          </button>
        `,
      )}
    </div>
  `;
}
