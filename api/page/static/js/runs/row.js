// One run of the list.
import { html } from "../html.js";
import { duration, percent, secondsOf } from "../format.js";
import { runUrl } from "../router.js";
import { isActive } from "../statuses.js";
import { Status, Time } from "../ui/basics.js";

/** The scale of the bars: what nineteen of twenty runs stay below, so that one long run does not flatten all others. */
export function longestOf(rows) {
  const ended = rows.slice(0, 500).filter(({ completed_at: end }) => end);
  const lengths = (ended.length ? ended : rows.slice(0, 500)).map((run) => secondsOf(run) ?? 0).sort((a, b) => a - b);
  return Math.max(0.001, lengths[Math.floor(lengths.length * 0.95)] ?? 1);
}

export const RunRowHead = () => html`
  <div role="rowgroup" class="run-row-head">
    <div class="run-row head" role="row">
      <span role="columnheader">Status</span>
      <span role="columnheader">Run</span>
      <span role="columnheader" class="run-who">Created by</span>
      <span role="columnheader">Created</span>
      <span role="columnheader">Duration</span>
      <span role="columnheader" class="run-progress">Progress or error</span>
    </div>
  </div>
`;

export function RunRow({ run, index, creator, longest, now, selected, onSelect }) {
  const seconds = secondsOf(run, now || undefined);
  const share = seconds === null ? 0 : Math.min(1, seconds / longest);
  const name = run.run_name || run.job_id;
  // Where a run has ended, its last message is old news.
  const told = run.error ?? (isActive(run.status) ? run.message : run.stop_reason);
  return html`
    <div class=${`run-row${selected ? " selected" : ""}${run.deleted ? " deleted" : ""}`} role="row" data-job=${run.job_id}
      data-status=${run.status} aria-rowindex=${index + 2}>
      <span role="cell" class="run-status"><${Status} status=${run.status} /></span>
      <span role="cell" class="run-name">
        <a href=${runUrl(run.job_id)} class="run-link clip" onFocus=${() => onSelect(run.job_id)}>${name}</a>
        <span class="run-id"><span class="clip mono">${run.job_id}</span>${run.attempt > 1 && html`<b class="badge">attempt ${run.attempt}</b>`}</span>
      </span>
      <span role="cell" class="run-who clip" title=${creator ?? ""}>${creator ?? html`<span class="none">–</span>`}</span>
      <span role="cell" class="run-when"><${Time} at=${run.created_at} /></span>
      <span role="cell" class="run-time">
        <span class="bar-track" aria-hidden="true"><span class=${`bar-fill${isActive(run.status) ? " growing" : ""}`}
          style=${{ width: `${Math.max(share * 100, 1.5)}%` }}></span></span>
        <span class="number">${duration(seconds)}</span>
      </span>
      <span role="cell" class="run-progress">
        ${!isActive(run.status) || run.progress === null || run.progress === undefined
          ? html`<span class=${told ? "muted clip" : "none"} title=${told ?? ""}>${told ?? "–"}</span>`
          : html`<progress max="1" value=${run.progress} aria-label="Progress"></progress>
              <span class="number">${percent(run.progress)}</span>`}
      </span>
    </div>
  `;
}
