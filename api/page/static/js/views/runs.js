// The runs: live, filtered, and as many as there are.
import { html, useEffect, useLayoutEffect, useMemo, useRef, useState } from "../html.js";
import { get } from "../api.js";
import { LiveMark } from "../livemark.js";
import { useKeys } from "../keys.js";
import { known, listen } from "../live.js";
import { useLater, useNow, useResource } from "../resource.js";
import { go, here, keepPlace, placeInList, runUrl, setParams } from "../router.js";
import { isActive } from "../statuses.js";
import { Empty, Failure, Icon, Loading } from "../ui/basics.js";
import { VirtualList } from "../ui/virtual.js";
import { StatusCounts } from "../runs/counts.js";
import { Filters, Search } from "../runs/controls.js";
import { isFiltered, readFilters } from "../runs/filters.js";
import { RunList } from "../runs/list.js";
import { longestOf, RunRow, RunRowHead } from "../runs/row.js";

export function Runs() {
  const { params } = here.value;
  const asked = params.toString();
  const filters = useMemo(() => readFilters(params), [asked]);
  const place = useRef(undefined);
  place.current ??= placeInList();
  const list = useMemo(() => new RunList(filters, rowsAbove(place.current + innerHeight)), [filters]);
  const ledger = useResource((signal) => known().then(() => get("ledger", {}, { signal })), []);
  const [selected, setSelected] = useState(null);
  const [atTop, setAtTop] = useState(true);
  const scroller = useRef(null);
  const search = useRef(null);
  const top = useRef(true);
  top.current = atTop;

  const countSoon = useLater(() => ledger.reload(), 1000);
  const refreshSoon = useLater(() => top.current && list.refresh(), 400);
  useEffect(() => {
    list.refresh();
    setSelected(null);
    scroller.current?.toTop();
    const stop = listen(
      (events) => {
        countSoon();
        if (list.hear(events)) refreshSoon();
      },
      () => {
        countSoon();
        list.stale.value = true;
        refreshSoon();
      },
    );
    return () => {
      stop();
      list.close();
    };
  }, [list]);

  const rows = list.rows.value;
  useLayoutEffect(() => {
    if (!rows.length || !place.current) return;
    scroller.current.element().scrollTop = place.current;
    place.current = 0;
  }, [rows.length > 0]);
  const at = selected === null ? -1 : rows.findIndex(({ job_id }) => job_id === selected);
  const move = (by) => {
    const next = Math.min(rows.length - 1, Math.max(0, at + by));
    if (!rows[next]) return;
    setSelected(rows[next].job_id);
    scroller.current?.show(next);
    requestAnimationFrame(() =>
      document.querySelector(`[data-job="${CSS.escape(rows[next].job_id)}"] a`)?.focus({ preventScroll: true }),
    );
  };
  useKeys("Runs", {
    "/": ["Search", () => search.current?.focus()],
    j: ["Next run", () => move(1)],
    k: ["Previous run", () => move(-1)],
    ArrowDown: ["Next run", () => (document.activeElement?.closest(".run-row") ? move(1) : false)],
    ArrowUp: ["Previous run", () => (document.activeElement?.closest(".run-row") ? move(-1) : false)],
    Enter: ["Open the run", () => (at >= 0 && !document.activeElement?.closest("a, button") ? go(runUrl(selected)) : false)],
    Escape: ["Clear the search", () => (document.activeElement === search.current ? search.current.blur() : setParams({ q: null }))],
  });

  const seeFrom = (top) => {
    // Whoever comes up to the top by themselves sees what arrived, without the button.
    if (top < 4 && !atTop && (list.arrived.peek() || list.stale.peek())) list.refresh();
    setAtTop(top < 4);
    keepPlace(top);
  };
  const showArrived = () => {
    scroller.current?.toTop();
    list.refresh();
  };
  const now = useNow(1000, rows.some(({ status }) => isActive(status)));
  const longest = useMemo(() => longestOf(rows), [rows]);
  const [arrived, stale] = [list.arrived.value, list.stale.value];
  let content;
  if (!rows.length && list.problem.value) {
    content = html`<${Failure} problem=${list.problem.value} retry=${() => list.refresh()} />`;
  } else if (!rows.length && list.state.value === "loading") content = html`<${Loading} what="Reading runs" />`;
  else if (!rows.length) content = html`<${NoRuns} filtered=${isFiltered(filters)} prefix=${filters.prefix} />`;
  else {
    content = html`
      <div class="runs-table" role="table" aria-label="Runs, newest first" aria-rowcount=${list.done.value ? rows.length + 1 : -1}>
        <${RunRowHead} />
        <${VirtualList} count=${rows.length + (list.done.value ? 0 : 1)} handle=${scroller} onScroll=${seeFrom}
          onRange=${(_, last) => last >= rows.length - 20 && list.more()}
          row=${(index) =>
            rows[index]
              ? html`<${RunRow} key=${rows[index].job_id} run=${rows[index]} index=${index} longest=${longest}
                  creator=${list.creators.get(rows[index].job_id)} now=${isActive(rows[index].status) ? now : 0}
                  selected=${rows[index].job_id === selected} onSelect=${setSelected} />`
              : html`<div class="run-row more" role="row" key="more"><span role="cell" class="muted">Reading on…</span></div>`} />
      </div>
    `;
  }
  return html`
    <div class="page">
      <div class="page-head">
        <h1>Runs</h1>
        <${LiveMark} />
        <span class="spacer"></span>
        <${Search} input=${search} value=${filters.prefix} />
        <${Filters} filters=${filters} />
      </div>
      <${StatusCounts} ledger=${ledger.data} chosen=${filters.status} whole=${isFiltered({ ...filters, status: [] })} />
      <div class="card runs-card">
        ${(stale || arrived > 0) && !atTop &&
        html`<button class="button primary arrived" onClick=${showArrived}>
          <${Icon} name="up" />${stale ? "Refresh" : `${arrived} new ${arrived === 1 ? "run" : "runs"}`}
        </button>`}
        ${content}
      </div>
    </div>
  `;
}

/** At least as many rows as stand in so many pixels. */
const rowsAbove = (pixels) => Math.ceil(pixels / 44);

const NoRuns = ({ filtered, prefix }) =>
  filtered
    ? html`<${Empty} title="No run passes these filters">
        ${prefix && html`<p>No name or job id begins with “${prefix}”: upper and lower case count.</p>`}
        <button class="button" onClick=${() => go("/")}>Clear the filters</button>
      <//>`
    : html`<${Empty} title="Nothing is recorded yet">
        Record a command: <code>execution-ledger record -- COMMAND</code>. It appears here at once.
      <//>`;
