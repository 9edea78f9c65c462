// Which keys do what, in this view.
import { html } from "../html.js";
import { keyGroups } from "../keys.js";
import { Dialog } from "./basics.js";

const NAMES = { ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓", " ": "Space", Escape: "Esc" };

export const Help = ({ onClose }) => html`
  <${Dialog} title="Keyboard" onClose=${onClose}>
    ${keyGroups.value.map(
      ({ title, keys }) => html`
        <section class="keys" key=${title}>
          <h3>${title}</h3>
          <dl>
            ${Object.entries(keys).map(
              ([name, [what]]) => html`
                <div key=${name}>
                  <dt>${(name === " " ? [" "] : name.split(" ")).map((each) => html`<kbd>${NAMES[each] ?? each}</kbd> `)}</dt>
                  <dd>${what}</dd>
                </div>
              `,
            )}
          </dl>
        </section>
      `,
    )}
  <//>
`;
