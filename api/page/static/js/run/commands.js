// What may be done to a run: each command asks for a reason, is confirmed, and recorded with who gave it.
import { html, useRef, useState } from "../html.js";
import { can, executionPath, send, session } from "../api.js";
import { Dialog, say } from "../ui/basics.js";

const LEAVING = ["pending", "preparing", "running"];

/** `from`: statuses in which it is offered; none: always. `exact`: only if nothing has changed since it was read. */
const COMMANDS = [
  { name: "approve", label: "Approve", from: ["waiting_for_approval"], tone: "primary", exact: true, text: "It goes on." },
  { name: "reject", label: "Reject", from: ["waiting_for_approval"], tone: "danger", exact: true, text: "It ends as rejected." },
  {
    name: "stop", label: "Stop", from: [...LEAVING, "waiting_for_approval"], text: "It is asked to stop, and ends once its worker has.",
    body: (reason) => ({ stop_reason: reason, stop_requested_by: session.value?.actor ?? undefined }),
  },
  {
    name: "cancel", label: "Cancel", from: [...LEAVING, "waiting_for_approval", "stopping"], tone: "danger",
    text: "It ends at once, whatever its worker does.", body: (reason) => ({ stop_reason: reason }),
  },
  { name: "notes", label: "Note", text: "A remark that stays with the run.", form: "note" },
  { name: "correct", label: "Correct", text: "Sets a field in spite of the rules. What it was stays in the ledger.", form: "correct" },
];

export function Commands({ model }) {
  const [chosen, setChosen] = useState(null);
  const run = model.current.value;
  if (!can("write") || !run || model.deleted.value) return null;
  return html`
    ${COMMANDS.filter(({ from }) => !from || from.includes(run.status)).map(
      (command) => html`<button key=${command.name} class=${`button ${command.tone ?? ""}`} onClick=${() => setChosen(command)}>${command.label}</button>`,
    )}
    ${chosen && html`<${CommandDialog} key=${chosen.name} command=${chosen} run=${run} onClose=${() => setChosen(null)} onDone=${() => model.load()} />`}
  `;
}

const CORRECTABLE = [
  "status", "result", "error", "message", "run_name", "progress", "inputs", "partial_results", "attributes", "started_at",
  "completed_at", "stop_reason", "stop_requested_by", "execution_type", "trigger_type", "attempt", "group_email",
];
const PLAIN = new Set(["status", "error", "message", "run_name", "started_at", "completed_at", "stop_reason", "stop_requested_by", "execution_type", "trigger_type", "group_email"]);
const shownValue = (run, field) => {
  const value = run[field];
  if (value === null || value === undefined) return "";
  return PLAIN.has(field) ? value : JSON.stringify(value, null, 2);
};

/** The same key however often the button is pressed: a command is recorded once. */
const newKey = () => [...crypto.getRandomValues(new Uint8Array(16))].map((each) => each.toString(16).padStart(2, "0")).join("");

function CommandDialog({ command, run, onClose, onDone }) {
  const key = useRef(newKey());
  const [problem, setProblem] = useState(null);
  const [busy, setBusy] = useState(false);
  const [field, setField] = useState("status");
  const [version] = useState(run.version);
  const submit = async (event) => {
    event.preventDefault();
    const data = new FormData(event.currentTarget);
    const reason = data.get("reason").trim();
    setBusy(true);
    setProblem(null);
    try {
      const body = { reason, ...command.body?.(reason) };
      if (command.form === "note") Object.assign(body, { text: data.get("text"), level: data.get("level") });
      if (command.form === "correct") body[field] = read(field, data.get("value"));
      await send("POST", executionPath(run.job_id, `/${command.name}`), body, {
        "Idempotency-Key": key.current,
        ...(command.exact ? { "If-Match": `"${version}"` } : {}),
      });
      say(`${command.label}: recorded`);
      onDone();
      event.target.closest("dialog").close();
    } catch (found) {
      setProblem(found);
      setBusy(false);
      if (found.status && found.status < 500) key.current = newKey(); // it was refused: the next try is another command
    }
  };
  const who = session.value?.actor;
  return html`
    <${Dialog} title=${`${command.label}: ${run.run_name || run.job_id}`} onClose=${onClose}>
      <form class="stack" onSubmit=${submit}>
        <p>${command.text}</p>
        ${command.form === "note" && html`
          <div class="field"><label for="c-text">Note</label><textarea id="c-text" name="text" required></textarea></div>
          <div class="field"><label for="c-level">Level</label><select id="c-level" name="level">
            ${["info", "warning", "error"].map((each) => html`<option key=${each}>${each}</option>`)}</select></div>`}
        ${command.form === "correct" && html`
          <div class="field"><label for="c-field">Field</label>
            <select id="c-field" value=${field} onChange=${(event) => setField(event.currentTarget.value)}>
              ${CORRECTABLE.map((each) => html`<option key=${each} selected=${each === field}>${each}</option>`)}</select></div>
          <div class="field"><label for="c-value">New value${PLAIN.has(field) ? "" : ", as JSON"}; empty for none</label>
            <textarea id="c-value" name="value" class="mono" key=${field} defaultValue=${shownValue(run, field)}></textarea></div>`}
        <div class="field"><label for="c-reason">Why</label>
          <input id="c-reason" name="reason" type="text" required maxlength="2000" autocomplete="off" autofocus=${!command.form} /></div>
        ${problem && html`<p class="error" role="alert">${problem.message}</p>`}
        <p class="hint">Recorded in the ledger for good${who ? html`, as done by <b>${who}</b>` : ""}.</p>
        <div class="dialog-foot">
          <button type="button" class="button plain" onClick=${(event) => event.currentTarget.closest("dialog").close()}>Leave it</button>
          <button class=${`button ${command.tone === "danger" ? "danger" : "primary"}`} disabled=${busy}>${busy ? "Recording…" : command.label}</button>
        </div>
      </form>
    <//>
  `;
}

function read(field, text) {
  if (text.trim() === "") return null;
  if (PLAIN.has(field)) return text;
  try {
    return JSON.parse(text);
  } catch {
    throw Object.assign(new Error(`${field} is not JSON. Text needs quotes.`), { status: 422 });
  }
}

