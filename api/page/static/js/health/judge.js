// What the numbers mean: which are as they should be, and which somebody should look at.
import { html } from "../html.js";
import { number } from "../format.js";
import { Time } from "../ui/basics.js";

const BEHIND = 1000; // events that a projection may have to catch up with
const QUEUE = 500; // commands that may wait: groups of some hundreds are written at once
const STREAMS = { live: "live", connecting: "connecting", lost: "lost", off: "paused" };

const events = (count) => `${number(count)} ${count === 1 ? "event" : "events"}`;

/** The parts that one number tells of: `{ title, value, detail, level, concern }`. */
export function partsOf({ size, writer, feed, verification }, { state, heard, now }) {
  const { every, executions, mismatches, failures, last_at: last } = verification;
  const late = every !== null && last !== null && now - Date.parse(last) > 3000 * every + 60_000;
  return [
    { title: "Ledger", value: events(size), detail: "in the one order of their positions", level: "good" },
    {
      title: "Writer's queue", value: number(writer.waiting),
      detail: writer.waiting === 1 ? "command waits to be written" : "commands wait to be written",
      level: writer.waiting > QUEUE ? "bad" : "good",
      concern: writer.waiting > QUEUE && `${number(writer.waiting)} commands wait to be written: the database is slow, or busy.`,
    },
    {
      title: "Feed", value: feed.lag ? `${events(feed.lag)} behind` : "up to date",
      detail: html`this page's stream is ${STREAMS[state]}${heard && html`, heard #${number(heard.position)} at <${Time} at=${heard.at} />`}`,
      level: state === "lost" || feed.lag > BEHIND ? "bad" : "good",
      concern:
        (state === "lost" && "This page lost the stream of events; it tries again by itself.") ||
        (feed.lag > BEHIND && `The feed has not heard of ${events(feed.lag)}.`),
    },
    {
      title: "Last verification",
      value: every === null ? "off" : last === null ? "none yet" : html`<${Time} at=${last} />`,
      detail:
        every === null
          ? "no samples are taken: see the setting audit_interval"
          : `${number(executions)} runs verified, ${number(mismatches)} ${mismatches === 1 ? "difference" : "differences"}` +
            (failures ? `, ${number(failures)} samples could not be taken` : ""),
      level: mismatches ? "bad" : late || every === null ? "unsure" : "good",
      concern: mismatches > 0 && `${number(mismatches)} times a run was not what its events say: run execution-ledger verify.`,
    },
  ];
}

/** What needs attention, in words. */
export const concerns = (parts, projections) => [
  ...parts.map(({ concern }) => concern).filter(Boolean),
  ...projections
    .filter((each) => levelOf(each) === "bad")
    .map(({ projection, stopped, lag }) =>
      stopped ? `The projection ${projection} has stopped.` : `The projection ${projection} is ${events(lag)} behind.`,
    ),
];

export const levelOf = ({ stopped, lag }) => (stopped || lag > BEHIND ? "bad" : lag ? "unsure" : "good");
