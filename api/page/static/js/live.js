// The feed of events, shared by whatever listens. A tab that nobody sees gives its connection back: browsers open only
// six to one service, for all tabs together.
import { signal } from "@preact/signals";
import { apiPath, loadSession } from "./api.js";

/** "off", "connecting", "live" or "lost". */
export const feedState = signal("off");

const listeners = new Set();
const BATCH = 200; // milliseconds: a busy ledger tells of thousands of events a second
let source = null;
let last = null;
let waiting = [];
let timer = 0;
let retry = 0;

function flush() {
  timer = 0;
  const events = waiting;
  waiting = [];
  for (const listener of [...listeners]) listener(events);
}

function open() {
  if (source || !listeners.size || document.hidden) return;
  feedState.value = "connecting";
  source = new EventSource(apiPath("events/stream", { after: last }));
  source.onopen = () => {
    feedState.value = "live";
  };
  source.onmessage = (message) => {
    last = Number(message.lastEventId);
    waiting.push(JSON.parse(message.data));
    timer ||= setTimeout(flush, BATCH);
  };
  source.onerror = () => {
    feedState.value = "lost";
    if (source.readyState !== EventSource.CLOSED) return; // the browser comes back by itself
    close("lost");
    clearTimeout(retry);
    retry = setTimeout(() => loadSession().then(open, open), 3000);
  };
}

function close(state) {
  source?.close();
  source = null;
  feedState.value = state;
}

document.addEventListener("visibilitychange", () => {
  if (document.hidden) close("off");
  else open();
});

/** Hear of events, in lists. Gives what stops it. */
export function listen(listener) {
  listeners.add(listener);
  open();
  return () => {
    listeners.delete(listener);
    setTimeout(() => {
      if (!listeners.size) {
        close("off");
        last = null;
      }
    }, 1000); // the next view mostly listens, too
  };
}
