// What the run was at the moment shown, field by field; any value tells why it is so.
import { html } from "../html.js";
import { fullTime } from "../format.js";
import { runUrl } from "../router.js";
import { Status, Time } from "../ui/basics.js";
import { Value } from "../ui/json.js";
import { useWhy, Why } from "./why.js";

const FIELDS = [
  "status", "message", "error", "result", "partial_results", "late_outcome", "progress", "inputs", "stop_reason",
  "stop_requested_by", "run_name", "job_id", "parent_job_id", "attempt", "execution_type", "trigger_type", "group_email",
  "attributes", "created_at", "started_at", "completed_at",
];
const LABELS = { job_id: "job", parent_job_id: "parent", execution_type: "type", trigger_type: "trigger", group_email: "group" };
const TIMES = new Set(["created_at", "started_at", "completed_at"]);
const label = (name) => (LABELS[name] ?? name).replaceAll("_", " ").replace(/ at$/, "");

export function State({ model }) {
  const run = model.shown.value;
  const version = model.at.value;
  if (!run) return null;
  const event = model.events.peek(version);
  const changed = new Set(event?.version === version ? Object.keys(event.data ?? {}) : []);
  return html`
    <dl class="fields">
      ${FIELDS.filter((name) => run[name] !== null && run[name] !== undefined).map(
        (name) => html`<${Field} key=${name} model=${model} run=${run} name=${name} changed=${changed.has(name)} />`,
      )}
    </dl>
  `;
}

function Field({ model, run, name, changed }) {
  const [open, toggle, target] = useWhy(model, name, "state");
  return html`
    <div class=${`field-row asks${changed ? " changed" : ""}`} ...${target}>
      <dt>${label(name)}</dt>
      <dd>
        <div class="field-value">
          ${name === "status" ? html`<${Status} status=${run.status} />` : TIMES.has(name) ? html`<${Time} at=${run[name]} format=${fullTime} />`
          : name === "parent_job_id" ? html`<a href=${runUrl(run[name])}>${run[name]}</a>` : html`<${Value} value=${run[name]} />`}
        </div>
        <button class="why-button" aria-expanded=${String(open)} aria-label=${`Why is ${label(name)} so?`} title="Why is this so?"
          onClick=${toggle}>why?</button>
        ${open && html`<${Why} model=${model} field=${name} />`}
      </dd>
    </div>
  `;
}
