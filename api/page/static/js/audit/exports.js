// Downloads of the events that pass the filters. They go past the page, so that they may be of any size.
import { html } from "../html.js";
import { apiPath, ask } from "../api.js";
import { Icon, say } from "../ui/basics.js";

const FORMATS = { jsonl: "JSON Lines", csv: "CSV", parquet: "Parquet" };

/** `problem`: why the filters find nothing; the browser would leave the page for an answer that says the same. */
export function Exports({ filters, problem }) {
  const save = async (event, format) => {
    event.preventDefault();
    try {
      if (problem) throw problem;
      await ask(apiPath("audit/export", { format, before: 0 })); // of no event: a download that fails tells a person nothing
      location.assign(apiPath("audit/export", { ...filters, format }));
      say(`The download of ${FORMATS[format]} begins`);
    } catch (found) {
      say(found.message, "bad");
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
