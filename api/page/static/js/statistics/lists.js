// Why runs failed, which took longest, which were tried again, and the same numbers by name and type.
import { html } from "../html.js";
import { can } from "../api.js";
import { duration, number, percent } from "../format.js";
import { runUrl, withParams } from "../router.js";
import { Status, Time } from "../ui/basics.js";

const List = ({ title, columns, rows, row, none, note }) => html`
  <section class="card list-card" aria-label=${title}>
    <header><h2>${title}</h2>${note && html`<span class="muted">${note}</span>`}</header>
    ${rows.length
      ? html`<div class="list-scroll">
          <table>
            <thead><tr>${columns.map(
              ([name, right, minor]) => html`<th scope="col" class=${`${right ? "right" : ""} ${minor ? "minor" : ""}`} key=${name}>${name}</th>`,
            )}</tr></thead>
            <tbody>${rows.map(row)}</tbody>
          </table>
        </div>`
      : html`<p class="none list-none">${none}</p>`}
  </section>
`;

const Run = ({ jobId }) => html`<a class="clip mono" href=${runUrl(jobId)} title=${jobId}>${jobId}</a>`;

/** A reason leads to the runs that failed for it. */
export const Reasons = ({ reasons, failures }) => html`
  <${List} title="Failure reasons" none="No run failed in this window." rows=${reasons} note=${failures}
    columns=${[["Reason"], ["Runs", true], ["Last", true, true], ["Last run"]]}
    row=${({ reason, runs, last_at, job_id }) => html`
      <tr key=${reason}>
        <th scope="row" class="reason">${reason ?? html`<span class="none">no error was told</span>`}</th>
        <td class="right number"><a href=${withParams({ reason: [reason ?? ""] })} title="The runs that failed for this">${number(runs)}</a></td>
        <td class="right nowrap minor"><${Time} at=${last_at} /></td>
        <td class="run-cell">${job_id ? html`<${Run} jobId=${job_id} />` : html`<span class="none">deleted</span>`}</td>
      </tr>
    `} />
`;

/** What a column is called, whether it holds numbers, and whether a phone does without it. */
const runColumns = (last) => [["Run"], ["Name", false, true], ["Outcome"], ["Ended", true, true], [last, true]];
const runRow = (last) => (run) => html`
  <tr key=${run.job_id}>
    <th scope="row" class="run-cell"><${Run} jobId=${run.job_id} /></th>
    <td class="name-cell minor"><span class="clip">${run.run_name ?? html`<span class="none">–</span>`}</span></td>
    <td><${Status} status=${run.outcome} quiet /></td>
    <td class="right nowrap minor"><${Time} at=${run.ended_at} /></td>
    <td class="right number nowrap">${last(run)}</td>
  </tr>
`;

export const Longest = ({ runs, more }) => html`
  <${List} title="Longest runs" none="No run ended in this window." rows=${runs} columns=${runColumns("Took")}
    note=${more} row=${runRow((run) => duration(run.duration))} />
`;

export const Failed = ({ reason, runs }) => html`
  <${List} title=${reason ? `Failed: ${reason}` : "Failed, no error was told"} none="No run failed for this in this window." rows=${runs}
    columns=${runColumns("Took")} row=${runRow((run) => duration(run.duration))}
    note=${html`<a href=${withParams({ reason: null })}>All reasons</a>`} />
`;

export const MostRetried = ({ runs }) => html`
  <${List} title="Most retried" none="No run was tried again in this window." rows=${runs}
    columns=${runColumns("Attempt")} row=${runRow((run) => number(run.attempt))} />
`;

/** Groups by `run_name` or `execution_type`; a name leads to the same numbers of it alone, and to its runs. */
export const Groups = ({ title, groups, range, by, parameter, none }) => html`
  <${List} title=${title} none="No run ended in this window." rows=${[...groups].sort((a, b) => b.runs - a.runs)}
    columns=${[[by === "run_name" ? "Name" : "Type"], ["Runs", true], ["Failed", true], ["p50", true], ["p95", true], ["p99", true]]}
    row=${(group) => {
      const name = group[by];
      return html`
        <tr key=${name}>
          <th scope="row" class="name-cell">
            <a class="clip" href=${withParams({ [parameter]: name ?? [""] })} title="The same numbers of it alone">${name ?? none}</a>
          </th>
          <td class="right number">
            <a href=${runsOf(range, { [parameter]: [name ?? ""] })} title="In the list of runs">${number(group.runs)}</a></td>
          <td class="right number">${failed(group, { [parameter]: [name ?? ""] }, range)}</td>
          ${["p50", "p95", "p99"].map((each) => html`<td class="right number nowrap" key=${each}>${duration(group.duration[each])}</td>`)}
        </tr>
      `;
    }} />
`;

function failed({ outcomes, runs }, only, range) {
  const count = outcomes.failed ?? 0;
  const text = count ? `${number(count)} (${percent(count / runs)})` : "0";
  if (!count) return text;
  return html`<a class="error" href=${runsOf(range, { ...only, status: "failed" })} title="In the list of runs">${text}</a>`;
}

/** The list of runs, of those that ended in the window and pass its filters, but for what is asked for otherwise. */
export const runsOf = ({ from, before, filters }, only = {}) =>
  withParams({
    name: filters.run_name, type: filters.execution_type, status: filters.outcome, ...only,
    ended_from: new Date(from).toISOString(), ended_before: new Date(before).toISOString(),
  }, "/", "");

/** Where the events are that ended the runs of the window, for whoever may read them. */
export const endingEvents = ({ from, before }, status) =>
  can("audit")
    ? withParams({ status, occurred_from: new Date(from).toISOString(), occurred_before: new Date(before).toISOString() }, "/audit", "")
    : null;
