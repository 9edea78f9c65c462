import { html } from "../html.js";

export const Run = () => html`<h1>Run</h1>`;
