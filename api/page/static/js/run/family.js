// Runs that belong together: the parent and the children.
import { html, useEffect } from "../html.js";
import { executionPath, get } from "../api.js";
import { secondsOf } from "../format.js";
import { listen } from "../live.js";
import { useLater, useResource } from "../resource.js";
import { runUrl, withParams } from "../router.js";
import { Duration, Empty, Failure, Loading, Status, Time } from "../ui/basics.js";

export function Family({ model }) {
  const parentId = model.current.value?.parent_job_id;
  const found = useResource(
    async (signal) => {
      const [parent, children] = await Promise.all([
        parentId ? get(executionPath(parentId), {}, { signal }).catch(() => ({ job_id: parentId })) : null,
        get("executions", { parent_job_id: model.jobId, limit: 100, total: false }, { signal }),
      ]);
      return { parent, children: children.executions, more: children.next_cursor !== null };
    },
    [model.jobId, parentId],
  );
  const reload = useLater(found.reload, 500);
  useEffect(() => {
    const known = new Set([parentId, ...(found.data?.children ?? []).map(({ job_id }) => job_id)]);
    return listen(
      (events) => events.some(({ job_id, data }) => known.has(job_id) || data?.parent_job_id === model.jobId) && reload(), reload,
    );
  }, [found.data, parentId]);
  if (found.problem && !found.data) return html`<${Failure} problem=${found.problem} retry=${found.reload} />`;
  if (!found.data) return html`<${Loading} />`;
  const { parent, children, more } = found.data;
  if (!parent && !children.length) return html`<${Empty} title="No relatives">This run has neither a parent nor children.<//>`;
  return html`
    <div class="pad stack">
      ${parent && html`<h3>Parent</h3><ul class="plain-list"><${Relative} run=${parent} /></ul>`}
      ${children.length > 0 && html`<h3>Children</h3><ul class="plain-list">${children.map((run) => html`<${Relative} key=${run.job_id} run=${run} />`)}</ul>`}
      ${more && html`<a href=${withParams({ parent: model.jobId }, "/", "")}>All children</a>`}
    </div>
  `;
}

const Relative = ({ run }) => html`
  <li class="relative">
    ${run.status && html`<${Status} status=${run.status} />`}
    <a href=${runUrl(run.job_id)}>${run.run_name || run.job_id}</a><span class="mono muted clip">${run.job_id}</span>
    <span class="spacer"></span>${run.created_at && html`<${Duration} seconds=${secondsOf(run)} /><${Time} at=${run.created_at} />`}
  </li>
`;
