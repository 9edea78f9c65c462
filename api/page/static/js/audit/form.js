// The filters of the audit, as the service has them. What is filled in stands in the URL: a link is a saved search.
import { html, useState } from "../html.js";
import { fromInput, toInput } from "../format.js";
import { go, setParams } from "../router.js";
import { LABELS, STATUSES } from "../statuses.js";
import { Icon } from "../ui/basics.js";

const TYPES = [
  "created", "prepared", "started", "progressed", "approval_requested", "approved", "rejected", "stop_requested", "stopped",
  "completed", "failed", "cancelled", "details_changed", "corrected", "late_outcome", "step_started", "step_finished",
  "noted", "deleted",
];
const FIELDS = [
  "status", "inputs", "result", "error", "message", "run_name", "progress", "attempt", "attributes", "parent_job_id",
  "execution_type", "trigger_type", "created_at", "started_at", "completed_at", "stop_reason", "stop_requested_by",
  "partial_results", "late_outcome", "group_email", "job_id",
];

/** `kind` is the control; `more` hides it until it is asked for. */
export const FILTERS = [
  { name: "text", label: "Text", hint: "in a reason, error, message or note" },
  { name: "actor", label: "Who" },
  { name: "job_id", label: "Job id" },
  { name: "type", label: "What", kind: "choice", many: true, choices: TYPES.map((each) => [each, each.replaceAll("_", " ")]) },
  { name: "recorded_from", label: "From", kind: "time" },
  { name: "recorded_before", label: "Before", kind: "time" },
  { name: "status", label: "Reached status", kind: "choice", many: true, choices: STATUSES.map((each) => [each, LABELS[each]]), more: true },
  { name: "changed_field", label: "Changed field", kind: "choice", choices: FIELDS.map((each) => [each, each.replaceAll("_", " ")]), more: true },
  { name: "correlation_id", label: "Correlation id", more: true },
  { name: "trace_id", label: "Trace id", more: true },
  { name: "occurred_from", label: "Happened from", kind: "time", more: true },
  { name: "occurred_before", label: "Happened before", kind: "time", more: true },
  { name: "after", label: "Above position", kind: "number", more: true },
  { name: "before", label: "Below position", kind: "number", more: true },
];

export function AuditForm({ filters, order, first }) {
  const [more, setMore] = useState(FILTERS.some((each) => each.more && filters[each.name]));
  const submit = (event) => {
    event.preventDefault();
    const data = new FormData(event.currentTarget);
    const changes = { cursor: null, order: data.get("order") === "newest" ? null : data.get("order") };
    for (const { name, kind } of FILTERS) {
      const text = data.get(name)?.trim() ?? "";
      changes[name] = kind === "time" ? fromInput(text) : text;
    }
    setParams(changes, { replace: false });
  };
  return html`
    <form class="card audit-form" role="search" aria-label="Audit" onSubmit=${submit} key=${JSON.stringify([filters, order])}>
      ${FILTERS.filter((each) => more || !each.more).map((each) => html`<${Filter} key=${each.name} filter=${each} value=${filters[each.name]} input=${each.name === "text" ? first : null} />`)}
      <div class="field"><label for="a-order">Order</label>
        <select id="a-order" name="order"><option value="newest" selected=${order === "newest"}>newest first</option><option value="oldest" selected=${order === "oldest"}>oldest first</option></select></div>
      <div class="audit-buttons">
        <button type="button" class="button plain" aria-expanded=${String(more)} onClick=${() => setMore(!more)}>${more ? "Fewer filters" : "More filters"}</button>
        <button type="button" class="button plain" onClick=${() => go("/audit")}>Clear</button>
        <button class="button primary"><${Icon} name="search" />Search</button>
      </div>
    </form>
  `;
}

function Filter({ filter, value, input }) {
  const { name, label, kind, choices, hint } = filter;
  const id = `a-${name}`;
  const one = Array.isArray(value) ? value[0] : value;
  if (kind === "choice") {
    return html`<div class="field"><label for=${id}>${label}</label><select id=${id} name=${name}>
      <option value="">anything</option>
      ${choices.map(([key, text]) => html`<option key=${key} value=${key} selected=${key === one}>${text}</option>`)}</select></div>`;
  }
  const type = kind === "time" ? "datetime-local" : kind === "number" ? "number" : "text";
  return html`<div class="field"><label for=${id}>${label}</label>
    <input id=${id} ref=${input} name=${name} type=${type} step=${kind === "time" ? "1" : undefined} placeholder=${hint ?? ""} autocomplete="off"
      defaultValue=${kind === "time" ? toInput(one) : (one ?? "")} /></div>`;
}
