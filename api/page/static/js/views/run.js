// One run: how it went, as it was at any moment, and why.
import { html, useEffect, useMemo } from "../html.js";
import { apiPath, executionPath, session } from "../api.js";
import { secondsOf } from "../format.js";
import { useKeys } from "../keys.js";
import { known, listen } from "../live.js";
import { LiveMark } from "../livemark.js";
import { useLater, useNow, useResource } from "../resource.js";
import { go, here, listUrl, runUrl, setParams } from "../router.js";
import { isActive } from "../statuses.js";
import { CopyButton, Duration, Empty, Failure, Loading, Status, Time } from "../ui/basics.js";
import { useInSight } from "../ui/sight.js";
import { EventChange } from "../run/change.js";
import { Commands } from "../run/commands.js";
import { Moments, OtherRun } from "../run/compare.js";
import { Events } from "../run/events.js";
import { Family } from "../run/family.js";
import { Gantt } from "../run/gantt.js";
import { RunModel } from "../run/moment.js";
import { Player } from "../run/player.js";
import { State } from "../run/state.js";
import { Asks } from "../run/why.js";

const TABS = [
  { id: "state", title: "State", view: State },
  { id: "change", title: "This event", view: EventChange },
  { id: "moments", title: "Two moments", view: Moments },
  { id: "other", title: "Another run", view: OtherRun },
  { id: "family", title: "Family", view: Family },
];

export function Run({ jobId }) {
  const model = useMemo(() => new RunModel(jobId), [jobId]);
  const reload = useLater(() => model.load(), 250);
  useEffect(() => {
    known().then(() => model.load(Number(here.peek().params.get("at"))));
    const stop = listen((events) => events.some(({ job_id }) => job_id === jobId) && reload(), reload);
    return () => {
      stop();
      model.close();
    };
  }, [model]);
  const wanted = here.value.params.get("at");
  useEffect(() => {
    const at = wanted === null ? null : Number(wanted);
    if (model.current.peek() && at !== model.version.peek()) model.moveTo(at, { keep: false });
  }, [wanted]);
  useKeys("Run", {
    j: ["Next event", () => model.moveTo(model.at.peek() + 1)],
    k: ["Previous event", () => model.moveTo(model.at.peek() - 1)],
    Escape: ["Back to now, then to all runs", () => (model.isNow.peek() ? go(listUrl(), { back: true }) : model.moveTo(null))],
  });
  const run = model.shown.value;
  const problem = model.problem.value;
  useEffect(() => {
    if (model.current.peek()) document.title = `${model.current.peek().run_name ?? jobId} · Execution Ledger`;
  }, [model.current.value]);
  if (!run && problem?.status === 404) {
    return html`<div class="page"><${Empty} heading title="There is no such run"><span class="mono">${jobId}</span> <a href="/">All runs</a><//></div>`;
  }
  if (!run && problem) return html`<div class="page"><${Failure} problem=${problem} retry=${() => model.load()} /></div>`;
  if (!run) return html`<div class="page"><${Loading} what="Reading the run" /></div>`;
  return html`
    <div class=${model.behind.value ? "page run-page behind" : "page run-page"} aria-busy=${String(model.behind.value)}>
      <${Head} model=${model} run=${run} />
      ${problem && model.behind.value && html`<p class="error" role="alert">This is not yet event ${model.at.value}. ${problem.message}</p>`}
      <${Player} model=${model} />
      <${Gantt} model=${model} />
      <div class="run-panels">
        <${Events} model=${model} />
        <${Inspector} model=${model} />
      </div>
    </div>
  `;
}

function Head({ model, run }) {
  const ticking = useNow(1000, isActive(run.status) && model.isNow.value);
  const now = model.deletedAt.value ?? ticking;
  const creator = useResource(async (signal) => (await model.events.find(1, signal)).actor, [model]);
  const curl = () => {
    const url = location.origin + apiPath(executionPath(run.job_id), { version: model.stateVersion.peek() });
    const key = session.peek()?.auth ? ' -H "Authorization: Bearer $EXECUTION_LEDGER_KEY"' : "";
    return `curl${key} '${url.replaceAll("'", "%27")}'`;
  };
  return html`
    <header class="run-head">
      <div class="run-title">
        <${Asks} model=${model} field=${run.run_name ? "run_name" : "job_id"} place="title">
          <h1 class="clip" title=${run.run_name || run.job_id}>${run.run_name || run.job_id}</h1>
        <//>
        <${Asks} model=${model} field="status" tag="span"><${Status} status=${run.status} /><//>
        ${model.deleted.value && html`<b class="badge bad">deleted</b>`}
        ${model.isNow.value ? html`<${LiveMark} />` : html`<b class="badge then">as it was at event ${model.at.value}</b>`}
      </div>
      <div class="run-actions"><${Commands} model=${model} />
        <${CopyButton} what="as curl" label="curl" text=${curl} />
        <${CopyButton} what="JSON" label="JSON" text=${() => JSON.stringify(model.shown.peek(), null, 2)} />
      </div>
      <dl class="run-facts">
        <${Asks} model=${model} field="job_id"><dt>Job</dt><dd class="mono clip">${run.job_id}</dd><//>
        <${Asks} model=${model} field="created_at" place="creator"><dt>Created by</dt><dd>${creator.data ?? "–"}</dd><//>
        <${Asks} model=${model} field="created_at"><dt>Created</dt><dd><${Time} at=${run.created_at} /></dd><//>
        <${Asks} model=${model} field=${madeOf(run)} place="duration"><dt>Duration</dt><dd><${Duration} seconds=${secondsOf(run, model.time.value ?? now)} /></dd><//>
        <${Asks} model=${model} field="attempt"><dt>Attempt</dt><dd class="number">${run.attempt}</dd><//>
        ${run.parent_job_id && html`<${Asks} model=${model} field="parent_job_id"><dt>Parent</dt><dd class="clip"><a href=${runUrl(run.parent_job_id)}>${run.parent_job_id}</a></dd><//>`}
      </dl>
    </header>
  `;
}

/** The fields that a duration is made of. */
const madeOf = (run) => [run.started_at ? "started_at" : "created_at", ...(run.completed_at ? ["completed_at"] : [])];

function Inspector({ model }) {
  const chosen = TABS.find(({ id }) => id === here.value.params.get("tab")) ?? TABS[0];
  const row = useInSight('[aria-selected="true"]', [chosen]);
  const move = (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!by) return;
    event.preventDefault();
    event.stopPropagation();
    const next = TABS[(TABS.indexOf(chosen) + by + TABS.length) % TABS.length];
    setParams({ tab: next === TABS[0] ? null : next.id });
    document.getElementById(`tab-${next.id}`)?.focus();
  };
  return html`
    <section class="card panel" aria-label="Details">
      <div class="tabs" role="tablist" aria-label="Details" onKeyDown=${move} ref=${row}>
        ${TABS.map(
          (tab) => html`<button key=${tab.id} id=${`tab-${tab.id}`} class="tab" role="tab" aria-selected=${String(tab === chosen)}
            aria-controls="tab-panel" tabIndex=${tab === chosen ? 0 : -1}
            onClick=${() => setParams({ tab: tab === TABS[0] ? null : tab.id })}>${tab.title}</button>`,
        )}
      </div>
      <div id="tab-panel" class="panel-body" role="tabpanel" aria-labelledby=${`tab-${chosen.id}`} tabIndex="0">
        <${chosen.view} model=${model} />
      </div>
    </section>
  `;
}
