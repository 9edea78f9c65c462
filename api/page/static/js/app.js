// The frame around every view: navigation, session, theme, help, and what is said aloud.
import { html, useEffect, useRef, useState } from "./html.js";
import { can, idOf, loadSession, logOut, session } from "./api.js";
import { useKeys } from "./keys.js";
import { go, here, whereNext } from "./router.js";
import { setTheme, theme } from "./theme.js";
import { Announcer, Empty, Failure, Icon, Loading } from "./ui/basics.js";
import { Help } from "./ui/help.js";
import { Audit } from "./views/audit.js";
import { Health } from "./views/health.js";
import { Lanes } from "./views/lanes.js";
import { LogIn } from "./views/login.js";
import { Run } from "./views/run.js";
import { Runs } from "./views/runs.js";
import { Statistics } from "./views/statistics.js";

/** Views, with the scope that they need and the key after `g` that leads there. */
const VIEWS = [
  { path: "/", title: "Runs", icon: "runs", scope: "read", key: "r", view: Runs },
  { path: "/lanes", title: "Lanes", icon: "lanes", scope: "read", key: "l", view: Lanes },
  { path: "/audit", title: "Audit", icon: "audit", scope: "audit", key: "a", view: Audit },
  { path: "/statistics", title: "Statistics", icon: "statistics", scope: "read", key: "s", view: Statistics },
  { path: "/health", title: "Health", icon: "health", scope: "read", key: "h", view: Health },
];

const allowed = () => VIEWS.filter(({ scope }) => can(scope));

function Navigation() {
  const { path } = here.value;
  return html`
    <nav class="nav" aria-label="Views">
      ${allowed().map(
        (each) => html`
          <a key=${each.path} href=${each.path} class="nav-link"
            aria-current=${path === each.path || (each.path === "/" && path.startsWith("/run/")) ? "page" : undefined}>
            <${Icon} name=${each.icon} size=${18} /><span>${each.title}</span>
          </a>
        `,
      )}
    </nav>
  `;
}

const THEMES = { system: "dark", dark: "light", light: "system" };
const THEME_ICONS = { system: "system", dark: "moon", light: "sun" };

function Tools({ onHelp }) {
  const name = theme.value;
  const who = session.value;
  return html`
    <div class="tools">
      ${who?.actor && html`<span class="who" title="Recorded with what you do here">${who.actor}</span>`}
      <button class="button plain icon-only" onClick=${() => setTheme(THEMES[name])}
        aria-label=${`Theme: ${name}. Switch to ${THEMES[name]}`} title=${`Theme: ${name}`}>
        <${Icon} name=${THEME_ICONS[name]} size=${18} />
      </button>
      <button class="button plain icon-only" onClick=${onHelp} aria-label="Keyboard help" title="Keyboard help (?)">
        <${Icon} name="help" size=${18} />
      </button>
      ${who?.auth &&
      html`<button class="button plain icon-only" onClick=${() => logOut().catch(() => {})} aria-label="Log out"
        title="Log out"><${Icon} name="out" size=${18} /></button>`}
    </div>
  `;
}

function View() {
  const { path } = here.value;
  const main = useRef(null);
  const shown = path.startsWith("/run/") ? { title: "Run", scope: "read", view: Run } : VIEWS.find((each) => each.path === path);
  const first = useRef(true);
  useEffect(() => {
    document.title = shown ? `${shown.title} · Execution Ledger` : "Execution Ledger";
    if (first.current) first.current = false;
    else main.current?.focus({ preventScroll: true }); // a screen reader begins where the new view does
  }, [path]);
  let content;
  if (!shown) content = html`<${Empty} heading title="There is nothing here"><a href="/">All runs</a><//>`;
  else if (!can(shown.scope)) {
    content = html`<${Empty} heading title="Your key cannot read this">It needs the scope “${shown.scope}”.<//>`;
  } else {
    const jobId = path.startsWith("/run/") ? idOf(path.slice("/run/".length)) : undefined;
    content = html`<${shown.view} key=${path} jobId=${jobId} />`;
  }
  return html`<main id="main" ref=${main} tabIndex="-1" class="main">${content}</main>`;
}

function Unreachable() {
  const [problem, setProblem] = useState(null);
  useEffect(() => {
    const timer = setInterval(() => loadSession().catch(setProblem), 2000);
    return () => clearInterval(timer);
  }, []);
  return html`<main class="main centered">
    ${problem ? html`<${Failure} problem=${problem} />` : html`<${Loading} what="Asking the service" />`}
  </main>`;
}

export function App() {
  const [help, setHelp] = useState(false);
  const inside = Boolean(session.value);
  const keys = { "?": ["This help", () => setHelp(true)] };
  for (const { key, title, path } of allowed()) keys[`g ${key}`] = [`Go to ${title}`, () => go(path)];
  useKeys("Everywhere", keys, inside);
  const arrived = inside && here.value.path === "/login";
  useEffect(() => {
    if (arrived) go(whereNext(), { replace: true });
  }, [arrived]);
  return html`
    ${inside &&
    html`
      <a class="skip" href="#main">Skip to the content</a>
      <header class="bar">
        <a class="brand" href="/">
          <svg width="26" height="26" viewBox="0 0 32 32" aria-hidden="true"><rect width="32" height="32" rx="7" class="brand-back" /><path d="M8 9h10M8 16h16M8 23h7" class="brand-lines" /></svg>
          <span class="brand-name">Ledger <span class="brand-ledger">${session.value.ledger}</span><span class="unseen">: all runs</span></span>
        </a>
        <${Navigation} />
        <${Tools} onHelp=${() => setHelp(true)} />
      </header>
      ${!arrived && html`<${View} />`}
    `}
    ${session.value === null && html`<${LogIn} />`}
    ${session.value === undefined && html`<${Unreachable} />`}
    ${help && html`<${Help} onClose=${() => setHelp(false)} />`}
    <${Announcer} />
  `;
}
