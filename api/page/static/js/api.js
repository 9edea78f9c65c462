// The public HTTP API, which is all that the page knows of a ledger.
import { signal } from "@preact/signals";

/** Who calls: `undefined` while nobody knows, `null` where they must log in. */
export const session = signal(undefined);

/** RFC 9457 problem details, or a service that does not answer. Its message tells the remedy, too, and once. */
export class Problem extends Error {
  constructor(body) {
    const told = body.detail || body.title;
    super(!body.remedy || told.endsWith(body.remedy) ? told : `${told} ${body.remedy}`);
    Object.assign(this, body);
  }
}

const UNREACHABLE = {
  title: "The service does not answer",
  detail: "The service does not answer.",
  remedy: "Is it running? The page tries again by itself.",
  status: 0,
};
/** Whether it passes by itself, so that the same is worth being asked again. */
export const isPassing = ({ status }) => status === 0 || status === 429 || status >= 502;
/** Milliseconds after which it is. */
export const PATIENCE = 3000;
const PAGE = { "X-Requested-With": "execution-ledger-page" };

export const can = (scope) => session.value?.scopes.includes(scope) ?? false;

function query(params) {
  const found = new URLSearchParams();
  for (const [name, value] of Object.entries(params ?? {})) {
    for (const each of Array.isArray(value) ? value : [value]) {
      if (each !== null && each !== undefined && (each !== "" || each !== value)) found.append(name, each);
    }
  }
  const text = found.toString();
  return text && `?${text}`;
}

export const apiPath = (path, params) => `/api/v1/${path}${query(params)}`;

/** An id as a part of a path, and back. Browsers take "." and ".." for folders, escaped, too: they stand behind a bare "=". */
export const pathPart = (id) => (/^\.\.?$/.test(id) ? `=${id}` : encodeURIComponent(id));
export function idOf(part) {
  try {
    return /^=\.\.?$/.test(part) ? part.slice(1) : decodeURIComponent(part);
  } catch {
    return part;
  }
}
export const executionPath = (jobId, rest = "") => `executions/${pathPart(jobId)}${rest}`;

export async function ask(path, options) {
  let response;
  try {
    response = await fetch(path, { credentials: "same-origin", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(UNREACHABLE);
  }
  if (response.ok) return response;
  let body;
  try {
    body = await response.json();
  } catch {
    body = { title: response.statusText, detail: `The service answered ${response.status}.`, status: response.status };
  }
  if (response.status === 401) session.value = null;
  throw new Problem(body);
}

/** The JSON answer of a reading route. */
export async function get(path, params, { signal, headers } = {}) {
  const response = await ask(apiPath(path, params), { signal, headers });
  return response.json();
}

/** Send a command; a key makes it safe to send it again. */
export async function send(method, path, body, headers = {}) {
  const response = await ask(apiPath(path), {
    method,
    headers: {
      ...PAGE,
      ...(body === undefined ? {} : { "Content-Type": "application/json" }),
      ...headers,
    },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  return response.status === 204 ? null : response.json();
}

export async function loadSession() {
  try {
    session.value = await get("session");
  } catch (problem) {
    if (problem.status !== 401) throw problem;
  }
}

/** Exchange a key or token for the session's cookie; the page does not keep it. */
export async function logIn(secret) {
  session.value = await send("POST", "session", undefined, { Authorization: `Bearer ${secret}` });
}

export async function logOut() {
  try {
    await send("DELETE", "session");
  } finally {
    session.value = null;
  }
}
