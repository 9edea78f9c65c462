// What one event changed, and its circumstances.
import { html } from "../html.js";
import { executionPath, get } from "../api.js";
import { eventName, fullTime } from "../format.js";
import { useResource } from "../resource.js";
import { Failure, Loading, Time } from "../ui/basics.js";
import { Changes } from "../ui/changes.js";
import { Value } from "../ui/json.js";
import { summary } from "./events.js";

const CIRCUMSTANCES = [
  ["actor", "Who"], ["reason", "Why"], ["correlation_id", "Correlation"], ["causation_id", "Caused by"],
  ["trace_id", "Trace"], ["command_id", "Command"],
];

export function EventChange({ model }) {
  const version = model.at.value;
  model.events.changed.value;
  const found = useResource(
    async (signal) => {
      if (!version) return null;
      const [event, diff] = await Promise.all([
        model.events.load(version),
        get(executionPath(model.jobId, "/diff"), { before: version - 1, after: version }, { signal }),
      ]);
      return { event, diff };
    },
    [version, model.events.count.value],
  );
  const event = found.data?.event;
  if (found.problem) return html`<${Failure} problem=${found.problem} retry=${found.reload} />`;
  if (!event) return html`<${Loading} what="Reading the event" />`;
  const details = !["execution.noted", "execution.step_started", "execution.step_finished", "execution.deleted"].includes(event.type);
  return html`
    <div class="pad stack">
      <p><b>${eventName(event.type)}</b> <span class="muted">event ${event.version}, position ${event.position}, </span><${Time}
        at=${event.recorded_at} format=${fullTime} /></p>
      <dl class="facts">
        ${CIRCUMSTANCES.filter(([name]) => event[name]).map(
          ([name, text]) => html`<div key=${name}><dt>${text}</dt><dd class=${name.endsWith("id") ? "mono" : ""}>${event[name]}</dd></div>`,
        )}
        ${event.occurred_at && html`<div><dt>Happened</dt><dd><${Time} at=${event.occurred_at} format=${fullTime} /></dd></div>`}
      </dl>
      ${details ? html`<${Changes} changes=${found.data.diff.changes} />` : html`<p>${summary(event)}</p>`}
      <details><summary>As recorded</summary><${Value} value=${event.data} /></details>
    </div>
  `;
}
