import { html } from "../html.js";

export const Audit = () => html`<h1>Audit</h1>`;
