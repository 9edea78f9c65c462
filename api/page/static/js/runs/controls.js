// The search field and the further filters.
import { html, useEffect, useRef, useState } from "../html.js";
import { fromInput, LATEST, toInput } from "../format.js";
import { here, setParams } from "../router.js";
import { Icon } from "../ui/basics.js";
import { isAttribute, splitAttributes } from "./filters.js";

/** Filters by time: what they are for the service, in the URL, and for people. */
const TIMES = [
  ["created_from", "from", "Created from"], ["created_before", "before", "Created before"],
  ["ended_from", "ended_from", "Ended from"], ["ended_before", "ended_before", "Ended before"],
];

/** Filters by an exact text. */
const TEXTS = [["run_name", "name", "Name, exactly"], ["execution_type", "type", "Type"]];

/** Searches while it is typed in. */
export function Search({ input, value }) {
  const timer = useRef(0);
  const [text, setText] = useState(value ?? "");
  useEffect(() => {
    if (document.activeElement !== input.current) setText(value ?? "");
  }, [value]);
  useEffect(() => () => clearTimeout(timer.current), []);
  const type = (next) => {
    setText(next);
    clearTimeout(timer.current);
    timer.current = setTimeout(() => setParams({ q: next }), 180);
  };
  return html`
    <div class="search" role="search">
      <${Icon} name="search" />
      <input ref=${input} type="search" value=${text} placeholder="Name or job id begins with…" spellcheck="false"
        aria-label="Search runs by the beginning of their name or job id" title="Upper and lower case count" autocomplete="off"
        onInput=${(event) => type(event.currentTarget.value)} />
      <kbd aria-hidden="true">/</kbd>
    </div>
  `;
}

export function Filters({ filters }) {
  const [open, setOpen] = useState(false);
  const [wrong, setWrong] = useState(null);
  const box = useRef(null);
  const attribute = here.value.params.getAll("attribute");
  const texts = TEXTS.map(([filter]) => filters[filter].join(", "));
  const active = [...TIMES.map(([name]) => filters[name]), ...TEXTS.map(([name]) => filters[name].length), filters.parent_job_id, filters.attributes].filter(Boolean);
  useEffect(() => {
    setWrong(null);
    if (!open) return undefined;
    const close = (event) => {
      if (event.type === "keydown" ? event.key !== "Escape" : box.current.contains(event.target)) return;
      if (event.type === "keydown") event.preventDefault(); // the key means this alone
      setOpen(false);
    };
    document.addEventListener("pointerdown", close);
    document.addEventListener("keydown", close);
    return () => {
      document.removeEventListener("pointerdown", close);
      document.removeEventListener("keydown", close);
    };
  }, [open]);
  const apply = (event) => {
    event.preventDefault();
    const data = new FormData(event.currentTarget);
    const attributes = splitAttributes(data.get("attribute"));
    const refused = attributes.find((each) => !isAttribute(each));
    setWrong(refused ?? null);
    if (refused !== undefined) return;
    // What stands there as it was may be several.
    const changed = TEXTS.map(([, name], at) => [name, data.get(name).trim(), texts[at]]).filter(([, now, before]) => now !== before);
    setParams({
      ...Object.fromEntries(changed.map(([name, now]) => [name, now])),
      ...Object.fromEntries(TIMES.map(([filter, name]) => [name, fromInput(data.get(name), filters[filter])])), parent: data.get("parent").trim(),
      attribute: attributes,
    });
    setOpen(false);
  };
  return html`
    <div class="popover-place" ref=${box}>
      <button class="button" aria-expanded=${String(open)} onClick=${() => setOpen(!open)}>
        <${Icon} name="filter" />Filters${active.length ? html` <b class="badge">${active.length}</b>` : ""}
      </button>
      ${open &&
      html`
        <form class="popover" onSubmit=${apply} aria-label="Further filters">
          ${TIMES.map(
            ([filter, name, label]) => html`
              <div class="field" key=${name}><label for=${`f-${name}`}>${label}</label>
                <input id=${`f-${name}`} name=${name} type="datetime-local" step="1" max=${LATEST} value=${toInput(filters[filter])} /></div>
            `,
          )}
          ${TEXTS.map(
            ([, name, label], at) => html`
              <div class="field" key=${name}><label for=${`f-${name}`}>${label}</label>
                <input id=${`f-${name}`} name=${name} type="text" value=${texts[at]} /></div>
            `,
          )}
          <div class="field"><label for="f-parent">Parent's job id</label>
            <input id="f-parent" name="parent" type="text" value=${filters.parent_job_id ?? ""} /></div>
          <div class="field"><label for="f-attribute">Attributes, as team=finance, version="1.0"</label>
            <input id="f-attribute" name="attribute" type="text" value=${attribute.join(", ")} spellcheck="false"
              aria-invalid=${wrong === null ? undefined : "true"} aria-describedby="f-wrong" />
            <p id="f-wrong" class="error" role="alert">${wrong !== null && `“${wrong}” has no value. Write ${wrong.replace(/^=/, "name=")}=value.`}</p></div>
          <div class="dialog-foot">
            <button type="button" class="button plain" onClick=${() => {
              setParams(Object.fromEntries([...[...TIMES, ...TEXTS].map(([, name]) => name), "parent", "attribute"].map((name) => [name, null])));
              setOpen(false);
            }}>Clear</button>
            <button class="button primary">Apply</button>
          </div>
        </form>
      `}
    </div>
  `;
}
