// The search form: what is asked for stands in the URL once it is sent.
import { html, useRef } from "../html.js";
import { eventName, fromInput, LATEST, toInput } from "../format.js";
import { here, setParams } from "../router.js";
import { useKeys } from "../keys.js";
import { LABELS, STATUSES } from "../statuses.js";
import { Choices } from "../ui/choices.js";
import { Icon } from "../ui/basics.js";
import { FIELDS, SEVERAL, SINGLE, TIMES, TYPES } from "./filters.js";

const MORE = ["changed_field", ...TIMES, "correlation_id", "trace_id", "after", "before"];

export function SearchForm({ filters, problem }) {
  const form = useRef(null);
  useKeys("Audit", { "/": ["Search", () => form.current.elements.text.focus()] });
  const submit = (event) => {
    event.preventDefault();
    const data = new FormData(form.current);
    const changes = { cursor: null, order: data.get("order") === "oldest" ? "oldest" : null };
    for (const name of Object.keys(SINGLE)) {
      const text = (data.get(name) ?? "").trim();
      changes[name] = TIMES.includes(name) ? fromInput(text, filters[name]) : text;
    }
    for (const name of Object.keys(SEVERAL)) changes[name] = data.getAll(name);
    form.current.querySelectorAll(".choices[open]").forEach((each) => (each.open = false));
    setParams(changes, {});
  };
  const invalid = (name) => (problem?.field === name ? "true" : undefined);
  const field = (name, type = "text", value = filters[name] ?? "", more = {}) => html`
    <div class="field">
      <label for=${`audit-${name}`}>${SINGLE[name]}</label>
      <input id=${`audit-${name}`} name=${name} type=${type} defaultValue=${value} aria-invalid=${invalid(name)}
        autocomplete="off" spellcheck="false" ...${more} />
    </div>
  `;
  return html`
    <form class="card audit-form" ref=${form} role="search" aria-label="Search the events" onSubmit=${submit}>
      <div class="audit-fields main-fields">
        <div class="field text-field">
          <label for="audit-text">Text in reasons, errors, messages and notes</label>
          <div class="search">
            <${Icon} name="search" />
            <input id="audit-text" name="text" type="search" defaultValue=${filters.text ?? ""} autocomplete="off"
              spellcheck="false" aria-invalid=${invalid("text")} />
            <kbd aria-hidden="true">/</kbd>
          </div>
        </div>
        ${field("actor")} ${field("job_id")}
        <div class="audit-choices">
          <${Choices} name="type" label="Event" chosen=${short(filters.type)}
            options=${TYPES.map((each) => [each, eventName(each)])} />
          <${Choices} name="status" label="Reached status" chosen=${filters.status ?? []}
            options=${STATUSES.map((each) => [each, LABELS[each]])} />
          <button class="button primary">Search</button>
        </div>
      </div>
      <details class="audit-more" open=${MORE.some((name) => filters[name]) || here.peek().params.get("order") === "oldest"}>
        <summary>More filters</summary>
        <div class="audit-fields">
          ${TIMES.map((name) => field(name, "datetime-local", toInput(filters[name]), { step: "1", max: LATEST }))}
          <div class="field">
            <label for="audit-changed_field">${SINGLE.changed_field}</label>
            <select id="audit-changed_field" name="changed_field" aria-invalid=${invalid("changed_field")}>
              <option value="">any</option>
              ${FIELDS.map((each) => html`<option value=${each} selected=${filters.changed_field === each}>${each}</option>`)}
            </select>
          </div>
          ${field("correlation_id")} ${field("trace_id")}
          ${field("after", "text", undefined, { inputmode: "numeric" })}
          ${field("before", "text", undefined, { inputmode: "numeric" })}
          <div class="field">
            <label for="audit-order">Order</label>
            <select id="audit-order" name="order">
              <option value="">newest first</option>
              <option value="oldest" selected=${here.peek().params.get("order") === "oldest"}>oldest first</option>
            </select>
          </div>
        </div>
      </details>
    </form>
  `;
}

/** Types may be written with their prefix, too. */
const short = (types) => (types ?? []).map((each) => each.replace("execution.", ""));
