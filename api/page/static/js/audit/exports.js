// Downloads of the events that pass the filters. They go past the page, so that they may be of any size.
import { html } from "../html.js";
import { apiPath, Problem } from "../api.js";
import { Icon, say } from "../ui/basics.js";

const FORMATS = { jsonl: "JSON Lines", csv: "CSV", parquet: "Parquet" };

export function Exports({ filters }) {
  const save = async (event, format) => {
    event.preventDefault();
    try {
      await check(format);
      location.assign(apiPath("audit/export", { ...filters, format }));
      say(`The download of ${FORMATS[format]} begins`);
    } catch (problem) {
      say(problem.message, "bad");
    }
  };
  return html`
    <div class="exports" role="group" aria-label="Export">
      ${Object.entries(FORMATS).map(
        ([format, label]) => html`
          <a key=${format} class="button" href=${apiPath("audit/export", { ...filters, format })} download
            onClick=${(event) => save(event, format)}><${Icon} name="down" /><span class="unseen">Export as </span>${label}</a>
        `,
      )}
    </div>
  `;
}

/** A download that fails tells a person nothing: so ask first for the export of no event. */
async function check(format) {
  const response = await fetch(apiPath("audit/export", { format, before: 0 }));
  if (!response.ok) throw new Problem(await response.json());
}
