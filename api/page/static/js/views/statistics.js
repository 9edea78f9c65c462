import { html } from "../html.js";

export const Statistics = () => html`<h1>Statistics</h1>`;
