// The audit: who did what, when and why. A search is its URL.
import { html, useMemo, useState } from "../html.js";
import { get } from "../api.js";
import { fullTime, number } from "../format.js";
import { useKeys } from "../keys.js";
import { useResource } from "../resource.js";
import { go, here, setParams, withParams } from "../router.js";
import { copy, Empty, Failure, Icon, Loading, Time } from "../ui/basics.js";
import { Exports } from "../audit/exports.js";
import { listFilters, PAGE, readFilters, TIMES, without } from "../audit/filters.js";
import { SearchForm } from "../audit/form.js";
import { Proof } from "../audit/proof.js";
import { Results } from "../audit/results.js";

export function Audit() {
  const { params } = here.value;
  const asked = params.toString();
  const filters = useMemo(() => readFilters(params), [asked]);
  const [cursor, order] = [params.get("cursor"), params.get("order")];
  const [round, setRound] = useState(0);
  const searched = JSON.stringify([filters, order]);
  const page = useResource(
    (signal) => get("audit", { ...filters, cursor, order, limit: PAGE }, { signal }), [searched, cursor, round],
  );
  const count = useResource((signal) => get("audit/count", filters, { signal }), [searched, round]);
  const { newer, older } = pagesOf(page.data, cursor, order);
  useKeys("Pages", {
    "[": ["Newer events", () => newer && go(newer)],
    "]": ["Older events", () => older && go(older)],
  });
  return html`
    <div class="page scrolls" aria-busy=${String(page.loading)}>
      <div class="page-head">
        <h1>Audit</h1>
        <span class="muted number" role="status">${count.data && !count.problem && !page.problem ? counted(count.data) : ""}</span>
        <span class="spacer"></span>
        <${Exports} filters=${filters} problem=${page.problem} />
        <button class="button copy-link" onClick=${() => copy(location.href, "Link to this search")}>
          <${Icon} name="link" /><span>Copy link</span>
        </button>
      </div>
      <${Proof} round=${round} />
      <${SearchForm} key=${searched} filters=${filters} problem=${page.problem} />
      <${Chosen} filters=${filters} />
      <div class="card audit-card">
        <${Content} page=${page} cursor=${cursor} filtered=${Object.keys(filters).length > 0} />
        ${page.data && !page.problem && html`<${Pages} page=${page} onRefresh=${() => setRound(round + 1)} newer=${newer} older=${older} cursor=${cursor} />`}
      </div>
    </div>
  `;
}

const counted = ({ number: found, exact }) => `${exact ? "" : "at least "}${number(found)} ${found === 1 ? "event" : "events"} found`;

/** The URLs of the pages beside this one: which cursor leads to newer events depends on the order. */
function pagesOf(page, cursor, order) {
  const to = (found) => (found ? withParams({ cursor: found }) : null);
  const before = cursor ? to(page?.previous_cursor) : null; // before the first page there is nothing but what comes
  const behind = to(page?.next_cursor);
  return order === "oldest" ? { newer: behind, older: before } : { newer: before, older: behind };
}

/** The filters in force, each with a way to be rid of it. */
const Chosen = ({ filters }) => {
  const chosen = listFilters(filters);
  return chosen.length > 0 && html`
    <div class="chosen" role="group" aria-label="Filters in force">
      ${chosen.map(
        (each) => html`
          <button key=${`${each.name} ${each.value}`} class="count" onClick=${() => setParams(without(filters, each), {})}>
            <span><span class="unseen">Take away the filter </span>${each.label}:</span> <b class="clip">${TIMES.includes(each.name) ? html`<${Moment} at=${each.value} />` : each.value}</b>
            <${Icon} name="close" size=${12} />
          </button>
        `,
      )}
      ${chosen.length > 1 && html`<a class="button plain small" href="/audit">Clear all</a>`}
    </div>
  `;
};

const Moment = ({ at }) => (Number.isNaN(Date.parse(at)) ? at : html`<${Time} at=${at} format=${fullTime} />`);

function Content({ page, cursor, filtered }) {
  if (page.problem) return html`<${Failure} problem=${page.problem} retry=${page.reload} />`;
  if (!page.data) return html`<${Loading} what="Reading events" />`;
  if (page.data.events.length) return html`<${Results} events=${page.data.events} />`;
  if (!page.data.complete) {
    return html`<${Empty} title="None so far">
      ${number(page.data.scanned)} events were looked at; there are more to look at.
    <//>`;
  }
  if (cursor) return html`<${Empty} title="Nothing beyond this page"><a href=${withParams({ cursor: null })}>To the first page</a><//>`;
  if (filtered) return html`<${Empty} title="No event passes these filters"><a href="/audit">Clear the filters</a><//>`;
  return html`<${Empty} title="Nothing is recorded yet">Every change of a run will be listed here.<//>`;
}

const Pages = ({ page, onRefresh, newer, older, cursor }) => html`
  <nav class="pages" aria-label="Pages">
    ${cursor && html`<a class="button" href=${withParams({ cursor: null })}>First page</a>`}
    <button class="button plain" onClick=${onRefresh}>Refresh</button>
    ${!page.data.complete && html`<span class="muted">Looked at ${number(page.data.scanned)} events; go on for more.</span>`}
    <span class="spacer"></span>
    <${Page} url=${newer} title="Newer" sign="[" />
    <${Page} url=${older} title="Older" sign="]" />
  </nav>
`;

const Page = ({ url, title, sign }) =>
  url
    ? html`<a class="button" href=${url} title=${`${title} events (${sign})`}>${title}</a>`
    : html`<button class="button" disabled>${title}</button>`;
