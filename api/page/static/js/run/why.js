// Why a value is as it is: who set it, when and for what reason. Told where the value is hovered, tapped, or asked for
// by the keyboard; one at a time.
import { html, useEffect, useLayoutEffect, useRef } from "../html.js";
import { executionPath, get } from "../api.js";
import { eventName, fullTime } from "../format.js";
import { useResource } from "../resource.js";
import { Time } from "../ui/basics.js";

const REST = 350; // milliseconds for which the pointer rests on what it asks about

/** `place` tells values of the same field apart. Gives whether it is told, what asks for it, and handlers for its element. */
export function useWhy(model, field, place) {
  const asked = model.asked.value;
  const open = asked?.field === field && asked.place === place;
  const timer = useRef(0);
  useEffect(() => () => clearTimeout(timer.current), []);
  useEffect(() => {
    if (!open) return undefined;
    const leave = (event) => {
      if (event.type === "keydown" ? event.key !== "Escape" : event.target.closest?.(".asks")) return;
      if (event.type === "keydown") event.preventDefault(); // the key means this alone
      model.asked.value = null;
    };
    document.addEventListener("keydown", leave);
    document.addEventListener("mousedown", leave);
    return () => {
      document.removeEventListener("keydown", leave);
      document.removeEventListener("mousedown", leave);
    };
  }, [open]);
  const toggle = () => {
    clearTimeout(timer.current);
    model.asked.value = open && asked.kept ? null : { field, place, kept: true };
  };
  const target = {
    onClick: (event) => {
      if (!event.target.closest("a, button, .why") && getSelection().isCollapsed) toggle();
    },
    onPointerEnter: (event) => {
      if (event.pointerType !== "mouse") return;
      timer.current = setTimeout(() => {
        if (!model.asked.peek()?.kept) model.asked.value = { field, place, kept: false };
      }, REST);
    },
    onPointerLeave: () => {
      clearTimeout(timer.current);
      if (open && !asked.kept) model.asked.value = null;
    },
  };
  return [open, toggle, target];
}

/** A value in the head of a run: the `State` has the button for the keyboard. */
export function Asks({ model, field, place = "head", tag = "div", children }) {
  const [open, , target] = useWhy(model, field, place);
  return html`<${tag} class="asks" ...${target}>${children}${open && html`<${Why} model=${model} field=${field} />`}</${tag}>`;
}

export function Why({ model, field }) {
  const version = model.stateVersion.value;
  const box = useRef(null);
  const { data, problem, loading } = useResource(
    async (signal) => (await get(executionPath(model.jobId, "/explain"), { version, field }, { signal })).fields,
    [field, version],
  );
  const found = data?.[field];
  useLayoutEffect(() => box.current.scrollIntoView({ block: "nearest" }), [loading]);
  return html`
    <div class="why" role="status" ref=${box}>
      ${problem ? problem.message : !found ? (loading ? "Asking…" : "No event tells.")
      : html`
          <p><b>${found.actor ?? "Somebody"}</b> set this <${Time} at=${found.recorded_at} format=${fullTime} /></p>
          <p>${found.reason ? html`because “${found.reason}”` : html`<span class="muted">and gave no reason</span>`}</p>
          <button class="button small" onClick=${() => model.moveTo(found.version)}>
            Event ${found.version}: ${eventName(found.type)}
          </button>
        `}
    </div>
  `;
}
