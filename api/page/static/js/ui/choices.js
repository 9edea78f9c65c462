// Several of a few: a button that opens a list of boxes to tick, inside a form or by itself.
import { html, useEffect, useRef } from "../html.js";
import { Icon } from "./basics.js";

/** `options` are `[value, label]`; `onChange` hears the ticked values, where no form reads them. */
export function Choices({ name, label, options, chosen, onChange }) {
  const box = useRef(null);
  useEffect(() => {
    const close = (event) => {
      const open = box.current?.open;
      if (!open || (event.type === "keydown" ? event.key !== "Escape" : box.current.contains(event.target))) return;
      box.current.open = false;
      if (event.type === "keydown") box.current.firstElementChild.focus();
    };
    document.addEventListener("pointerdown", close);
    document.addEventListener("keydown", close);
    return () => {
      document.removeEventListener("pointerdown", close);
      document.removeEventListener("keydown", close);
    };
  }, []);
  const change = () =>
    onChange?.([...box.current.querySelectorAll("input:checked")].map((input) => input.value));
  return html`
    <details class="choices" ref=${box}>
      <summary class="button">
        ${label}${chosen.length ? html` <b class="number">${chosen.length}</b>` : ""}<${Icon} name="fold" size=${12} />
      </summary>
      <fieldset class="choices-list" onChange=${change}>
        <legend class="unseen">${label}</legend>
        ${options.map(
          ([value, text]) => html`
            <label key=${value}>
              <input type="checkbox" name=${name} value=${value} defaultChecked=${chosen.includes(value)} />${text}
            </label>
          `,
        )}
      </fieldset>
    </details>
  `;
}
