import { html } from "../html.js";

export const Health = () => html`<h1>Health</h1>`;
