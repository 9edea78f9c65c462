// The page: who is looking, at what.
import { html, render } from "./html.js";
import { loadSession } from "./api.js";
import { App } from "./app.js";

render(html`<${App} />`, document.getElementById("app"));
loadSession().catch(() => {
  // The app tells that the service does not answer, and tries again.
});
