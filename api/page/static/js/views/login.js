// Log in: at the identity provider, or with a key or token, which is exchanged for a cookie that no script can read; the
// page forgets it.
import { html, useEffect, useRef, useState } from "../html.js";
import { apiPath, logIn } from "../api.js";
import { here, whereNext } from "../router.js";

/** What people can sign in with, by its name; undefined where they cannot. */
const OFFERED = document.querySelector('meta[name="sign-in"]')?.content;

/** Why whoever comes back from there is not signed in. */
const PROBLEMS = new Map([
  ["refused", "Your identity provider did not sign you in: it was called off, or you have no access to this service."],
  ["expired", "That took too long, or was begun in another window. Sign in again."],
  ["unknown", "You are known, but not for any ledger here. Ask whoever runs this service for access."],
  ["unavailable", "Your identity provider does not answer. Try again later."],
  ["rejected", "Your identity provider’s answer was not accepted. If that happens again, the service’s log tells why."],
]);

function SignIn({ link }) {
  return html`
    <a ref=${link} class="button primary" href=${apiPath("session/oidc", { next: whereNext() })}>Sign in with ${OFFERED}</a>
    <p class="or" aria-hidden="true">or</p>
  `;
}

export function LogIn() {
  const [problem, setProblem] = useState(null);
  const [busy, setBusy] = useState(false);
  const field = useRef(null);
  const link = useRef(null);
  const failed = PROBLEMS.get(here.value.path === "/login" ? here.value.params.get("problem") : null);
  useEffect(() => {
    document.title = "Log in · Execution Ledger";
    (link.current ?? field.current).focus();
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
        ${failed && !problem && html`<p class="error" role="alert">${failed}</p>`}
        ${OFFERED && html`<${SignIn} link=${link} />`}
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
        <button class=${OFFERED ? "button" : "button primary"} disabled=${busy}>${busy ? "Logging in…" : "Log in"}</button>
      </form>
    </main>
  `;
}
