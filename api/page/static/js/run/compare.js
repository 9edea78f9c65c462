// Two moments of a run, or two runs of the same job with the place where they part.
import { html, useEffect, useState } from "../html.js";
import { executionPath, get } from "../api.js";
import { apart, duration, eventName, number } from "../format.js";
import { useResource } from "../resource.js";
import { here, runUrl, setParams } from "../router.js";
import { Empty, Failure, Loading, Status, Time } from "../ui/basics.js";
import { Changes } from "../ui/changes.js";

/** Changes of steps between two moments, and pairs of steps of two runs, that are listed at once. */
const MOST_CHANGES = 200;
const MOST_PAIRS = 500;
const BEFORE = 20; // pairs that are listed before the one where the runs part, where there are too many

export function Moments({ model }) {
  const { params } = here.value;
  const last = model.last.value;
  const version = (name, otherwise) => {
    const given = Number(params.get(name) ?? otherwise);
    return Math.min(last, Math.max(0, Math.round(Number.isNaN(given) ? otherwise : given)));
  };
  const from = version("from", 1);
  const to = version("to", last);
  const found = useResource(
    (signal) => (last ? get(executionPath(model.jobId, "/diff"), { before: from, after: to }, { signal }) : null),
    [from, to, last],
  );
  return html`
    <div class="pad stack">
      <div class="pair">
        <${Version} name="from" text="From event" value=${from} model=${model} /><${Version} name="to" text="To event" value=${to} model=${model} />
      </div>
      ${found.problem ? html`<${Failure} problem=${found.problem} />` : !found.data ? html`<${Loading} />`
      : html`
          <${Changes} changes=${found.data.changes} labels=${[`Event ${from}`, `Event ${to}`]} />
          ${found.data.steps.length > 0 &&
          html`<h3>Steps</h3><ul class="plain-list">
            ${found.data.steps.slice(0, MOST_CHANGES).map(
              (step) => html`<li class="relative" key=${step.version}><span class="muted number">${step.version}</span> ${step.name ?? step.step_id} ${eventName(step.kind)}
                ${step.outcome && html` <${Status} status=${step.outcome} quiet />`} <${Time} at=${step.at} /></li>`,
            )}
          </ul>${found.data.steps.length > MOST_CHANGES && html`<p class="hint" role="note">The first ${number(MOST_CHANGES)} of ${number(found.data.steps.length)}.</p>`}`}
        `}
    </div>
  `;
}

/** What is typed stays until it is done, whatever is drawn again meanwhile. */
function Version({ name, text, value, model }) {
  const [typed, setTyped] = useState(null);
  const set = (next) => {
    setTyped(null);
    setParams({ [name]: next });
  };
  return html`
    <div class="field"><label for=${`moment-${name}`}>${text}</label>
      <div class="joined">
        <input id=${`moment-${name}`} type="number" min="0" max=${model.last.value} value=${typed ?? value}
          onInput=${(event) => setTyped(event.currentTarget.value)} onChange=${(event) => set(event.currentTarget.value)} />
        <button class="button small" onClick=${() => set(model.at.peek())}>The one shown</button>
      </div></div>
  `;
}

export function OtherRun({ model }) {
  const other = here.value.params.get("other");
  const [text, setText] = useState(other ?? "");
  useEffect(() => setText(other ?? ""), [other]);
  const name = model.current.value?.run_name;
  const siblings = useResource(
    async (signal) => {
      if (!name) return [];
      const page = await get("executions", { run_name: name, limit: 7, total: false }, { signal });
      return page.executions.filter((run) => run.job_id !== model.jobId).slice(0, 6);
    },
    [name, model.jobId],
  );
  const found = useResource(
    (signal) => (other ? get(executionPath(model.jobId, "/compare"), { other }, { signal }) : null),
    [other, model.jobId],
  );
  return html`
    <div class="pad stack">
      <form class="joined" onSubmit=${(event) => {
        event.preventDefault();
        setParams({ other: text.trim() });
      }}>
        <label class="unseen" for="other">Job id of the other run</label>
        <input id="other" type="text" value=${text} placeholder="Job id of the other run"
          onInput=${(event) => setText(event.currentTarget.value)} />
        <button class="button">Compare</button>
      </form>
      ${!other && siblings.data?.length > 0 &&
      html`<h3>Other runs of “${name}”</h3><ul class="plain-list">${siblings.data.map(
        (run) => html`<li class="relative" key=${run.job_id}><button class="button small" onClick=${() => setParams({ other: run.job_id })}>Compare</button>
          <span class="mono clip">${run.job_id}</span> <${Status} status=${run.status} quiet /> <${Time} at=${run.created_at} /></li>`,
      )}</ul>`}
      ${!other && siblings.data?.length === 0 && html`<${Empty} title="Choose another run">Two runs of the same job tell where they part.<//>`}
      ${found.problem && html`<${Failure} problem=${found.problem} />`}
      ${other && found.data && !found.problem && html`<${Comparison} found=${found.data} />`}
    </div>
  `;
}

function Comparison({ found }) {
  const first = found.first_divergence;
  const labels = [found.left, found.right];
  return html`
    <p class="split-times"><a href=${runUrl(found.left)}>${found.left}</a> <${Took} seconds=${found.left_seconds} />${" "}
      <span class="muted">and</span> <a href=${runUrl(found.right)}>${found.right}</a> <${Took} seconds=${found.right_seconds} /></p>
    <div class="divergence" role="note">
      ${first
        ? html`<b>They part ${first.where === "inputs" ? "in their inputs" : first.where === "step" ? `at the step “${apart((first.step.left ?? first.step.right).name)}”` : "in how they ended"}.</b>
            ${first.step && !first.step.left && " Only the right run has it."}${first.step && !first.step.right && " Only the left run has it."}
            ${first.differences.length > 0 && html`<${Changes} changes=${first.differences} labels=${labels} label="Where they part" sides />`}`
        : html`<b>They went the same way.</b>`}
    </div>
    <h3>Fields that differ</h3>
    <${Changes} changes=${found.differences} labels=${labels} sides />
    ${found.steps.length > 0 && html`<h3>Steps</h3><${Steps} found=${found} first=${first?.step} />`}
  `;
}

const Took = ({ seconds }) => html`<span class="muted number">${duration(seconds)}</span>`;
const seconds = (step) => (step?.finished_at ? (Date.parse(step.finished_at) - Date.parse(step.started_at)) / 1000 : null);
const same = (a, b) => a && b && a.left?.step_id === b.left?.step_id && a.right?.step_id === b.right?.step_id;

function Steps({ found: { steps, left, right }, first }) {
  const begin = steps.length > MOST_PAIRS ? Math.max(0, steps.findIndex((pair) => same(pair, first)) - BEFORE) : 0;
  const shown = steps.slice(begin, begin + MOST_PAIRS);
  return html`
    ${shown.length < steps.length && html`<p class="hint" role="note">Steps ${number(begin + 1)} to ${number(begin + shown.length)} of ${number(steps.length)}.</p>`}
    <div class="table-scroll" tabIndex="0" role="region" aria-label="Steps of both runs">
      <table class="steps">
        <thead><tr><th scope="col">Step</th><th scope="col">${left}</th><th scope="col">${right}</th></tr></thead>
        <tbody>${shown.map((pair, at) => {
          const differs = !pair.left || !pair.right || pair.moved || pair.differences.length > 0;
          return html`<tr key=${at} class=${same(pair, first) ? "first-divergence" : differs ? "differs" : ""}>
            <th scope="row">${(pair.left ?? pair.right).name}${same(pair, first) && html` <b class="badge">they part here</b>`}${pair.moved && html` <b class="badge">moved</b>`}</th>
            ${[pair.left, pair.right].map((step) => html`<td>${step ? html`<${Status} status=${step.outcome ?? "open"} quiet /> <${Took} seconds=${seconds(step)} />` : html`<span class="none">not there</span>`}</td>`)}
          </tr>`;
        })}</tbody>
      </table>
    </div>
  `;
}
