// Log in: a key or token is exchanged for a cookie that no script can read; the page forgets it.
import { html, useEffect, useRef, useState } from "../html.js";
import { logIn } from "../api.js";

export function LogIn() {
  const [problem, setProblem] = useState(null);
  const [busy, setBusy] = useState(false);
  const field = useRef(null);
  useEffect(() => {
    document.title = "Log in · Execution Ledger";
    field.current.focus();
  }, []);
  const submit = async (event) => {
    event.preventDefault();
    const secret = field.current.value.trim();
    if (!secret || busy) return;
    setBusy(true);
    setProblem(null);
    try {
      await logIn(secret);
    } catch (found) {
      setProblem(found);
      setBusy(false);
      field.current.select();
    }
  };
  return html`
    <main id="main" class="main centered">
      <form class="card login" onSubmit=${submit}>
        <h1>Execution Ledger</h1>
        <label for="secret">API key or access token</label>
        <input id="secret" ref=${field} type="password" autocomplete="off" spellcheck="false" required
          aria-invalid=${problem ? "true" : undefined} aria-describedby="login-help" />
        <p id="login-help" class="hint">
          A key comes from <code>execution-ledger keys create</code>; a token from your identity provider. Neither is
          kept here: you get a session of some hours.
        </p>
        ${problem &&
        html`<p class="error" role="alert">
          ${problem.status === 401 ? "This key or token is not good." : problem.message}
        </p>`}
        <button class="button primary" disabled=${busy}>${busy ? "Logging in…" : "Log in"}</button>
      </form>
    </main>
  `;
}
