// The filters of an audit: in the URL they are called as the API calls them, so that a link is a saved search.

/** What events and fields there are; a test compares both with the ledger's own. */
export const TYPES = [
  "created", "prepared", "started", "progressed", "approval_requested", "approved", "rejected", "stop_requested",
  "stopped", "completed", "failed", "cancelled", "details_changed", "corrected", "late_outcome", "step_started",
  "step_finished", "noted", "deleted",
];
export const FIELDS = [
  "attempt", "attributes", "completed_at", "created_at", "error", "execution_type", "group_email", "inputs", "job_id",
  "late_outcome", "message", "parent_job_id", "partial_results", "progress", "result", "run_name", "started_at", "status",
  "stop_reason", "stop_requested_by", "trigger_type",
];

/** Filters with one value each, and how they are asked for. */
export const SINGLE = {
  text: "Text", actor: "Actor", job_id: "Job id", changed_field: "Changed field", recorded_from: "Recorded from",
  recorded_before: "Recorded before", occurred_from: "Happened from", occurred_before: "Happened before",
  correlation_id: "Correlation id", trace_id: "Trace id", after: "Position above", before: "Position below",
};
export const SEVERAL = { type: "Event", status: "Reached status" };
export const TIMES = ["recorded_from", "recorded_before", "occurred_from", "occurred_before"];

export const PAGE = 50;

/** What the URL says, as parameters of the API; anything else in it is left to the service to refuse. */
export function readFilters(params) {
  const found = {};
  for (const name of Object.keys(SINGLE)) if (params.get(name)) found[name] = params.get(name);
  for (const name of Object.keys(SEVERAL)) if (params.has(name)) found[name] = params.getAll(name);
  return found;
}

/** The filters in force, one by one: `{ name, label, value }`. */
export const listFilters = (filters) =>
  Object.entries(filters).flatMap(([name, value]) =>
    [value].flat().map((each) => ({ name, label: SINGLE[name] ?? SEVERAL[name], value: each })),
  );

/** The change of the URL that takes one of them away. */
export const without = (filters, { name, value }) => ({
  [name]: Array.isArray(filters[name]) ? filters[name].filter((each) => each !== value) : null,
  cursor: null,
});
