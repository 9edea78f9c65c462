// The filters of the list of runs: how they stand in the URL, what is asked of the service, and which runs they pass.
import { ms } from "../format.js";

/** What the URL says. */
export function readFilters(params) {
  const all = (name) => params.getAll(name);
  const one = (name) => params.get(name) || null;
  return {
    status: all("status"), prefix: one("q"), created_from: one("from"), created_before: one("before"),
    run_name: all("name"), execution_type: all("type"),
    ended_from: one("ended_from"), ended_before: one("ended_before"), parent_job_id: one("parent"),
    attributes: readAttributes(all("attribute")),
  };
}

/** `team=finance` and so on; numbers, true, false, null and text in quotes as JSON has them. */
function readAttributes(texts) {
  const wrong = texts.find((text) => !isAttribute(text));
  if (wrong !== undefined) return wrong; // which the service refuses
  const found = {};
  for (const text of texts) {
    const at = text.indexOf("=");
    found[text.slice(0, at)] = valueOf(text.slice(at + 1));
  }
  return texts.length ? found : null;
}

export const isAttribute = (text) => text.indexOf("=") > 0;

/** Several attributes in a field: commas part them, but not inside of quotes. */
export const splitAttributes = (text) =>
  (text.match(/(?:"(?:\\.|[^"\\])*"|[^,])+/g) ?? []).map((each) => each.trim()).filter(Boolean);

function valueOf(text) {
  if (!/^(-?\d+(\.\d+)?|true|false|null|".*")$/.test(text)) return text;
  try {
    return JSON.parse(text);
  } catch {
    return text; // 007, or a quote that is left alone
  }
}

export const isFiltered = (filters) =>
  Object.values(filters).some((value) => (Array.isArray(value) ? value.length : value !== null));

/** Parameters of `/executions`. */
export const asParameters = ({ attributes, ...rest }) => ({
  ...rest, attributes: attributes && JSON.stringify(attributes),
});

export const asksForEnd = (filters) => Boolean(filters.ended_from || filters.ended_before);

/** Whether an end passes them; what has none passes where none is asked for. */
export const endPasses = (filters, end) =>
  !asksForEnd(filters) ||
  (Boolean(end) &&
    (!filters.ended_from || ms(end) >= ms(filters.ended_from)) &&
    (!filters.ended_before || ms(end) < ms(filters.ended_before)));

/** No name at all is asked for as an empty one. */
const isOneOf = (names, name) => !names.length || names.includes(name ?? "");

/** Whether a run passes them, so that a list knows what concerns it. */
export function passes(filters, run) {
  const starts = (text) => Boolean(text?.startsWith(filters.prefix));
  return (
    (!filters.status.length || filters.status.includes(run.status)) &&
    isOneOf(filters.run_name, run.run_name) &&
    isOneOf(filters.execution_type, run.execution_type) &&
    (!filters.prefix || starts(run.run_name) || starts(run.job_id)) &&
    (!filters.created_from || ms(run.created_at) >= ms(filters.created_from)) &&
    (!filters.created_before || ms(run.created_at) < ms(filters.created_before)) &&
    endPasses(filters, run.completed_at) &&
    (!filters.parent_job_id || run.parent_job_id === filters.parent_job_id) &&
    (!filters.attributes ||
      Object.entries(filters.attributes).every(([name, value]) => run.attributes?.[name] === value))
  );
}
