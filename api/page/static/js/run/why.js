// Why a value is as it is: who set it, when and for what reason. Told where the value is hovered, tapped, or asked for
// by the keyboard; one at a time.
import { html, useEffect, useLayoutEffect, useRef, useState } from "../html.js";
import { executionPath, get } from "../api.js";
import { apart, eventName, fullTime } from "../format.js";
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

/** A value in the head of a run: the `State` has the button for the keyboard. Some are of two fields, as a duration. */
export function Asks({ model, field, place = "head", tag = "div", children }) {
  const [open, , target] = useWhy(model, String(field), place);
  return html`<${tag} class="asks" ...${target}>${children}${open && html`<${Why} model=${model} field=${field} />`}</${tag}>`;
}

const ENDS = { created_at: "the start", started_at: "the start", completed_at: "the end" };

/** Of a field, or of the two that a value is made of. */
export function Why({ model, field }) {
  const version = model.stateVersion.value;
  const names = [field].flat();
  const found = useResource(
    async (signal) => {
      const asked = names.map((name) => get(executionPath(model.jobId, "/explain"), { version, field: name }, { signal }));
      const told = (await Promise.all(asked)).map(({ fields }, at) => ({ event: fields[names[at]], did: `set ${names[1] ? ENDS[names[at]] : "this"}` }));
      return told.filter(({ event }) => event);
    },
    [String(field), version],
  );
  return html`<${Answer} className="why" found=${found} kept onGo=${(to) => model.moveTo(to)} />`;
}

/**
 * Of what events themselves tell, as a step or a note: `{ version, did }` of each. Told once the pointer has rested on
 * it, or at once where it was asked for and is `kept`; then `onGo` leads to the event.
 */
export function WhyTold({ model, causes, kept, onGo }) {
  const asked = causes.map(({ version }) => version).join();
  const [rested, setRested] = useState(null);
  useEffect(() => {
    const timer = setTimeout(() => setRested(asked), kept ? 0 : REST);
    return () => clearTimeout(timer);
  }, [asked, kept]);
  return rested === asked && asked && html`<${Told} key=${asked} model=${model} causes=${causes} kept=${kept} onGo=${onGo} />`;
}

function Told({ model, causes, kept, onGo }) {
  const found = useResource(
    (signal) => Promise.all(causes.map(async ({ version, did }) => ({ event: await model.events.find(version, signal), did }))),
    [],
  );
  return html`<${Answer} className="told" found=${found} kept=${kept} onGo=${kept && onGo} />`;
}

function Answer({ className, found: { data, problem, loading }, kept, onGo }) {
  const box = useRef(null);
  useLayoutEffect(() => {
    if (kept) box.current.scrollIntoView({ block: "nearest" });
  }, [loading]);
  return html`
    <div class=${className} role="status" ref=${box}>
      ${problem ? problem.message : !data?.length ? (loading ? "Asking…" : "No event tells.")
      : data.map(
          ({ event, did }) => html`
            <p><b>${event.actor ?? "Somebody"}</b> ${did} <${Time} at=${event.recorded_at} format=${fullTime} /></p>
            <p>${event.reason ? html`because “${apart(event.reason)}”` : html`<span class="muted">and gave no reason</span>`}</p>
            ${onGo && html`<button class="button small" onClick=${() => onGo(event.version)}>
              Event ${event.version}: ${eventName(event.type)}
            </button>`}
          `,
        )}
    </div>
  `;
}
