// The feed of events, shared by whatever listens. A tab that nobody sees gives its connection back: browsers open only
// six to one service, for all tabs together. Nothing is missed meanwhile: the feed goes on behind what was heard last.
import { signal } from "@preact/signals";
import { apiPath, get, loadSession } from "./api.js";

/** "off", "connecting", "live" or "lost". */
export const feedState = signal("off");

const listeners = new Set();
const BATCH = 200; // milliseconds: a busy ledger tells of thousands of events a second
const RETRY = 2000; // milliseconds
const MOST = 2000; // events that are still heard one by one after a pause
let source = null;
let last = null; // the position behind which everything is heard
let asking = null;
let unsure = false; // whether something was read while nobody knew that position
let waiting = [];
let timer = 0;
let retry = 0;

function flush() {
  timer = 0;
  const events = waiting;
  waiting = [];
  for (const { hear } of [...listeners]) hear(events);
}

/** Waits until it is known from where on events are heard, so that what is read after it and what is heard leave no gap. */
export function known() {
  if (source) return Promise.resolve();
  if (!listeners.size) last = null;
  asking ??= get("ledger")
    .then(
      ({ size }) => {
        const gap = last === null ? unsure : size < last || size - last > MOST;
        if (last === null || gap) last = size;
        unsure = false;
        if (gap) for (const { missed } of [...listeners]) missed?.();
      },
      () => {
        unsure = last === null; // whoever reads will tell what is wrong
      },
    )
    .finally(() => {
      asking = null;
    });
  return asking;
}

const isWanted = () => !source && listeners.size && !document.hidden;

async function open() {
  if (!isWanted()) return;
  feedState.value = "connecting";
  await known();
  if (!isWanted()) return;
  if (last === null) {
    lose();
    return;
  }
  source = new EventSource(apiPath("events/stream", { after: last }));
  source.onopen = () => {
    feedState.value = "live";
  };
  source.onmessage = (message) => {
    last = Number(message.lastEventId);
    waiting.push(JSON.parse(message.data));
    timer ||= setTimeout(flush, BATCH);
  };
  source.onerror = lose;
}

/** Come back later: by ourselves, since a browser neither asks how much it missed nor comes back from every answer. */
function lose() {
  close("lost");
  clearTimeout(retry);
  retry = setTimeout(() => loadSession().then(open, open), RETRY);
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

/**
 * Hear of events, in lists; `missed` is called where there were too many to be heard, so that all is to be read again.
 * Gives what stops it.
 */
export function listen(hear, missed) {
  const listener = { hear, missed };
  listeners.add(listener);
  open();
  return () => {
    listeners.delete(listener);
    setTimeout(() => {
      if (!listeners.size) close("off");
    }, 1000); // the next view mostly listens, too
  };
}
