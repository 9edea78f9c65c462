// The projections: how far each has read the ledger, and what stopped it.
import { html, useState } from "../html.js";
import { can, send } from "../api.js";
import { number, percent } from "../format.js";
import { withParams } from "../router.js";
import { Empty, Icon, say, Time } from "../ui/basics.js";
import { levelOf } from "./judge.js";

const WORDS = { good: "Up to date", unsure: "Catching up", bad: "Behind" };

export const Projections = ({ projections, size, onChange }) => html`
  <section class="card list-card" aria-label="Projections">
    <header>
      <h2>Projections</h2>
      ${!can("admin") && html`<span class="muted">A key with the scope “admin” sees their errors, too</span>`}
    </header>
    ${projections.length
      ? html`<ul class="projections">
          ${projections.map((each) => html`<${Projection} key=${each.projection} found=${each} size=${size} onChange=${onChange} />`)}
        </ul>`
      : html`<${Empty} title="Nothing to follow yet">Projections begin with the first event.<//>`}
  </section>
`;

function Projection({ found, size, onChange }) {
  const { projection, position, lag, stopped } = found;
  const read = size ? Math.min(1, position / size) : 1;
  return html`
    <li class="projection" data-level=${levelOf(found)}>
      <div class="projection-line">
        <strong class="mono clip">${projection}</strong>
        <span class="projection-state"><span class="health-dot" aria-hidden="true"></span>${stopped ? "Stopped" : WORDS[levelOf(found)]}</span>
        <span class="number">${lag ? `${number(lag)} behind` : "no lag"}</span>
        <span class="muted number">${number(position)} of ${number(size)}</span>
        <span class="muted">${found.updated_at ? html`moved <${Time} at=${found.updated_at} />` : ""}</span>
      </div>
      <progress max="1" value=${read} aria-label=${`${projection} has read`} aria-valuetext=${percent(read)}></progress>
      ${found.quarantined > 0 && html`<p class="muted">It leaves out ${number(found.quarantined)} ${found.quarantined === 1 ? "run" : "runs"} in quarantine.</p>`}
      ${stopped && html`<${Stopped} found=${found} onChange=${onChange} />`}
    </li>
  `;
}

function Stopped({ found, onChange }) {
  const [busy, setBusy] = useState(false);
  const { projection, failed_position: at, error, failed_at: when } = found;
  const retry = async () => {
    setBusy(true);
    try {
      await send("POST", `projections/${encodeURIComponent(projection)}/retry`);
      say(`${projection} tries again`);
    } catch (problem) {
      say(problem.message, "bad");
    }
    setBusy(false);
    onChange();
  };
  if (!can("admin")) return html`<p class="error">It waits for a retry.</p>`;
  return html`
    <div class="stopped">
      <p>Stopped at event ${can("audit")
        ? html`<a href=${withParams({ after: String(at - 1), before: String(at + 1) }, "/audit", "")}>${number(at)}</a>`
        : number(at)}, <${Time} at=${when} />:</p>
      <pre>${error}</pre>
      <button class="button" disabled=${busy} onClick=${retry}><${Icon} name="play" />Try again</button>
      <span class="hint">Once what the event failed of is mended.</span>
    </div>
  `;
}
