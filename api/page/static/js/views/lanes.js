import { html } from "../html.js";

export const Lanes = () => html`<h1>Lanes</h1>`;
