// Where the reader is. Every view and filter is in the URL, so that a link shows the same to somebody else.
import { signal } from "@preact/signals";
import { pathPart } from "./api.js";

let list = "/"; // of runs, as it was looked at last
let place = null; // how far down in it, `{ url, top }`, in pixels
let returning = false; // whether the reader came to where they had been

function read() {
  if (location.pathname === "/") list = `/${location.search}`;
  return { path: location.pathname, params: new URLSearchParams(location.search) };
}

/** The way back from a run: the list with its filters. */
export const listUrl = () => list;
export const keepPlace = (top) => (place = { url: list, top });
/** How far down whoever comes back to the list was; 0 for whoever goes there anew. */
export const placeInList = () => (returning && place?.url === list ? place.top : 0);

export const here = signal(read());

addEventListener("popstate", () => {
  returning = true;
  here.value = read();
});

/** Go to a URL of the page. With `replace` the way back leads past it; `back`: to where the reader had been. */
export function go(url, { replace = false, back = false } = {}) {
  if (url === location.pathname + location.search) return;
  returning = back;
  history[replace ? "replaceState" : "pushState"](null, "", url);
  here.value = read();
}

/** The URL of this view with some parameters changed; null, "" and [] take one away, [""] does not. */
export function withParams(changes, path = location.pathname, params = here.peek().params) {
  const next = new URLSearchParams(params);
  for (const [name, value] of Object.entries(changes)) {
    next.delete(name);
    for (const each of Array.isArray(value) ? value : [value]) {
      if (each !== null && each !== undefined && (each !== "" || each !== value)) next.append(name, each);
    }
  }
  const query = next.toString();
  return query ? `${path}?${query}` : path;
}

export const setParams = (changes, options = { replace: true }) => go(withParams(changes), options);

const LONGEST = 2000; // as `is_view` has it

/** Where whoever logs in goes on: where they are, or where they were before they were sent to log in. */
export function whereNext({ path, params } = here.value) {
  const query = params.toString();
  const url = path === "/login" ? (params.get("next") ?? "/") : query ? `${path}?${query}` : path;
  if (url.length > LONGEST) return path === "/login" || path.length > LONGEST ? "/" : path;
  return url.startsWith("/") && !/^\/[/\\]/.test(url) && !url.startsWith("/login") ? url : "/";
}

/** Where a run is shown. */
export const runUrl = (jobId, params = {}) => withParams(params, `/run/${pathPart(jobId)}`, "");

/** Links inside the page change the view; whatever else a click means is left to the browser. */
document.addEventListener("click", (event) => {
  if (event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  const link = event.target.closest?.("a[href]");
  if (!link || link.target || link.hasAttribute("download")) return;
  const url = new URL(link.href, location.href);
  if (url.origin !== location.origin || url.pathname.startsWith("/api/") || url.hash) return;
  event.preventDefault();
  go(url.pathname + url.search);
});
