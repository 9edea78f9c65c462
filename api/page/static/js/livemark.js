// Whether what is shown is live.
import { html } from "./html.js";
import { feedState } from "./live.js";

const WORDS = { live: "Live", connecting: "Connecting", lost: "Connection lost", off: "Paused" };

export const LiveMark = () => html`
  <span class="live" data-state=${feedState.value} role="status">
    <span class="live-dot" aria-hidden="true"></span>${WORDS[feedState.value]}
  </span>
`;
