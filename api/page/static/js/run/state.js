// What the run was at the moment shown, field by field; any value tells why it is so.
import { html, useEffect, useRef, useState } from "../html.js";
import { executionPath, get } from "../api.js";
import { eventName, fullTime } from "../format.js";
import { useResource } from "../resource.js";
import { runUrl } from "../router.js";
import { Status, Time } from "../ui/basics.js";
import { Value } from "../ui/json.js";

const FIELDS = [
  "status", "message", "error", "result", "partial_results", "late_outcome", "progress", "inputs", "stop_reason",
  "stop_requested_by", "run_name", "parent_job_id", "attempt", "execution_type", "trigger_type", "group_email",
  "attributes", "created_at", "started_at", "completed_at",
];
const LABELS = { parent_job_id: "parent", execution_type: "type", trigger_type: "trigger", group_email: "group" };
const TIMES = new Set(["created_at", "started_at", "completed_at"]);
const label = (name) => (LABELS[name] ?? name).replaceAll("_", " ").replace(/ at$/, "");

export function State({ model }) {
  const run = model.shown.value;
  const version = model.at.value;
  const [asked, setAsked] = useState(null);
  const why = useResource(
    async (signal) =>
      asked && run ? (await get(executionPath(model.jobId, "/explain"), { version: Math.min(version, run.version) }, { signal })).fields : null,
    [Boolean(asked), version, run?.version],
  );
  useEffect(() => {
    if (!asked) return undefined;
    const leave = (event) => {
      if (event.type === "keydown" ? event.key !== "Escape" : event.target.closest?.(".why, .field-row")) return;
      if (event.type === "keydown") event.preventDefault(); // the key means this alone
      setAsked(null);
    };
    document.addEventListener("keydown", leave);
    document.addEventListener("mousedown", leave);
    return () => {
      document.removeEventListener("keydown", leave);
      document.removeEventListener("mousedown", leave);
    };
  }, [asked]);
  if (!run) return null;
  const event = model.events.peek(version);
  const changed = new Set(Object.keys(event?.data ?? {}));
  return html`
    <dl class="fields">
      ${FIELDS.filter((name) => run[name] !== null && run[name] !== undefined).map(
        (name) => html`
          <div class=${`field-row${changed.has(name) && event.version === version ? " changed" : ""}`} key=${name}>
            <dt>${label(name)}</dt>
            <dd>
              <div class="field-value">
                ${name === "status" ? html`<${Status} status=${run.status} />` : TIMES.has(name) ? html`<${Time} at=${run[name]} format=${fullTime} />`
                : name === "parent_job_id" ? html`<a href=${runUrl(run[name])}>${run[name]}</a>` : html`<${Value} value=${run[name]} />`}
              </div>
              <${WhyButton} name=${name} open=${asked === name} onOpen=${(open) => setAsked(open ? name : null)} />
              ${asked === name && html`<${Why} found=${why.data?.[name]} loading=${why.loading} problem=${why.problem} model=${model} />`}
            </dd>
          </div>
        `,
      )}
    </dl>
  `;
}

/** Opens on a click, a tap or the keyboard, and when the pointer rests on it. */
function WhyButton({ name, open, onOpen }) {
  const timer = useRef(0);
  useEffect(() => () => clearTimeout(timer.current), []);
  return html`
    <button class="why-button" aria-expanded=${String(open)} aria-label=${`Why is ${label(name)} so?`} title="Why is this so?"
      onClick=${() => onOpen(!open)}
      onPointerEnter=${(event) => {
        if (event.pointerType === "mouse") timer.current = setTimeout(() => onOpen(true), 350);
      }}
      onPointerLeave=${() => clearTimeout(timer.current)}>why?</button>
  `;
}

function Why({ found, loading, problem, model }) {
  if (problem) return html`<div class="why" role="status">${problem.message}</div>`;
  if (!found) return html`<div class="why" role="status">${loading ? "Asking…" : "No event tells."}</div>`;
  return html`
    <div class="why" role="status">
      <p><b>${found.actor ?? "Somebody"}</b> set this <${Time} at=${found.recorded_at} format=${fullTime} /></p>
      <p>${found.reason ? html`because “${found.reason}”` : html`<span class="muted">and gave no reason</span>`}</p>
      <button class="button small" onClick=${() => model.moveTo(found.version)}>
        Event ${found.version}: ${eventName(found.type)}
      </button>
    </div>
  `;
}
