// What changed: path by path, the old struck and red, the new green; with words for those who see neither.
import { html } from "../html.js";
import { cut, fieldName, json } from "../format.js";

const BOOKKEEPING = new Set(["version", "updated_at"]);

const Side = ({ kind, value }) => html`
  <${kind} class="diff-side"><span class="unseen">${kind === "del" ? "before: " : "after: "}</span>${
    typeof value === "string" ? value : cut(json(value), 2000)}</${kind}>
`;

/** `[{ path, before, after, kind }]` of the service. */
export function Changes({ changes, labels = ["Before", "After"], label = "What changed", sides = false }) {
  const told = changes.filter(({ path }) => !BOOKKEEPING.has(path[0]));
  if (!told.length) return html`<p class="muted pad">Nothing differs.</p>`;
  return html`
    <div class="table-scroll" tabIndex="0" role="region" aria-label=${label}>
      <table class=${sides ? "diff sides" : "diff"}>
        <thead><tr><th scope="col">Field</th><th scope="col">${labels[0]}</th><th scope="col">${labels[1]}</th></tr></thead>
        <tbody>
          ${told.map(
            ({ path, before, after, kind }) => html`
              <tr key=${JSON.stringify(path)}>
                <th scope="row" class="mono">${fieldName(path)}</th>
                <td>${kind !== "set" && before !== null && before !== undefined ? html`<${Side} kind="del" value=${before} />` : html`<span class="none">–</span>`}</td>
                <td>${kind !== "removed" && after !== null && after !== undefined ? html`<${Side} kind="ins" value=${after} />` : html`<span class="none">–</span>`}</td>
              </tr>
            `,
          )}
        </tbody>
      </table>
    </div>
  `;
}
