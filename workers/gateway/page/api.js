// The API of the service: requests with the token, and what is wrong with them as an error to show.

const TOKEN = "vwt-token";
const PATIENCE_MS = 10_000;

/** A refusal of the API: `message` says what failed, why and what to do; `fields` is a map of field to reason. */
export class Refused extends Error {
  constructor(status, body) {
    super(body.detail ?? `the service answered with status ${status}`);
    this.status = status;
    this.fields = new Map((body.errors ?? []).map((one) => [one.field.replace(/^body\./, ""), one.reason]));
  }
}

/** The service did not answer at all. */
export class Away extends Error {}

let clockAhead = 0;
let onLogin = () => {};

/** Calls `ask` whenever the API wants a token that this page does not have. */
export function whenLocked(ask) {
  onLogin = ask;
}

export function keepToken(token) {
  sessionStorage.setItem(TOKEN, token);
}

/** Unix seconds by the clock of the service; that of a phone may be minutes off. */
export function serverNow() {
  return Date.now() / 1000 + clockAhead;
}

/** Address of what the browser loads by itself, where no header can carry the token. */
export function address(path, query = {}) {
  const url = new URL(path, document.baseURI);
  const token = sessionStorage.getItem(TOKEN);
  for (const [key, value] of Object.entries(token ? { ...query, token } : query)) url.searchParams.set(key, value);
  return url;
}

/** Asks the API; a body is JSON, or a file as it is. Returns the JSON of the answer, or null where it has none. */
export async function ask(method, path, body) {
  const headers = {};
  const token = sessionStorage.getItem(TOKEN);
  if (token) headers.Authorization = `Bearer ${token}`;
  const whole = body instanceof Blob;
  if (body !== undefined) headers["Content-Type"] = whole ? body.type : "application/json";
  let answer, text;
  try {
    answer = await fetch(new URL(path, document.baseURI), {
      method, headers, body: whole ? body : JSON.stringify(body), cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS),
    });
    text = await answer.text();
  } catch {
    throw new Away("the service does not answer");
  }
  const date = Date.parse(answer.headers.get("Date"));
  if (!Number.isNaN(date)) clockAhead = Math.abs(date - Date.now()) < 2000 ? 0 : (date - Date.now()) / 1000;
  if (answer.ok) return text ? JSON.parse(text) : null;
  const refused = new Refused(answer.status, problem(text));
  if (answer.status === 401) onLogin(token ? refused.message : null);
  throw refused;
}

function problem(text) {
  try {
    return JSON.parse(text);
  } catch {
    return {};
  }
}

export const streamPath = (id, rest = "") => `v1/streams/${encodeURIComponent(id)}${rest}`;
