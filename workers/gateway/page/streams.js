// What all streams are doing: asked for every two seconds, with the figures of the last minute.

import { ask, Away, serverNow, streamPath } from "./api.js";

const EVERY_MS = 2000;
const RECENT_S = 60;
// Without results for so long, or for five frames, a running stream is called stale.
const STALE_S = 6;
const TOKENS = ["tokens_full", "tokens_kept"];

export class Streams {
  /** `changed()` is called after every answer, and after every try that failed. */
  constructor(changed) {
    this.all = new Map();
    this.awayFor = 0;
    this.problem = null;
    this.known = false;
    this.#changed = changed;
  }

  #changed;
  #history = new Map();
  #timer = 0;
  #answeredAt = Date.now();
  #asking = null;

  /** Asks now, and from then on again and again. */
  async refresh() {
    // An answer under way may be older than the change that this is called for.
    await this.#asking;
    clearTimeout(this.#timer);
    this.#asking = this.#ask();
    await this.#asking;
    clearTimeout(this.#timer);
    // Without a token there is nothing to ask for; the dialog goes on from there.
    if (this.problem?.status !== 401) this.#timer = setTimeout(() => this.refresh(), EVERY_MS);
  }

  async #ask() {
    try {
      const { streams } = await ask("GET", "v1/streams");
      this.all = new Map(streams.map((view) => [view.id, this.#seen(view)]));
      for (const id of this.#history.keys()) if (!this.all.has(id)) this.#history.delete(id);
      [this.known, this.problem, this.awayFor] = [true, null, 0];
      this.#answeredAt = Date.now();
    } catch (error) {
      this.problem = error;
      this.awayFor = error instanceof Away || error.status === 503 ? (Date.now() - this.#answeredAt) / 1000 : 0;
    }
    this.#changed();
  }

  /** Changes settings of a stream, as `{paused: true}`. */
  async change(id, settings) {
    await ask("PATCH", streamPath(id), settings);
    await this.refresh();
  }

  async remove(id) {
    await ask("DELETE", streamPath(id));
    await this.refresh();
  }

  async add(settings) {
    const view = await ask("POST", "v1/streams", settings);
    await this.refresh();
    return view.id;
  }

  #seen(view) {
    const now = Date.now() / 1000;
    const { status } = view;
    let seen = this.#history.get(view.id) ?? [];
    const last = seen.at(-1)?.status;
    // Another stream of that name, or a service that lost its data: nothing to subtract from.
    if (last && (status.next_frame < last.next_frame || status.joules < last.joules)) seen = [];
    seen = [...seen.filter((one) => one.at > now - RECENT_S), { at: now, status }];
    this.#history.set(view.id, seen);
    const quiet = quietFor(status);
    const shownState = quiet === null ? view.shown.state : "stale";
    return { ...view, ...derived(status, seen[0].status), quietFor: quiet, shownState };
  }
}

function derived(status, before) {
  const since = (name) => status[name] - before[name];
  const frames = since("next_frame");
  const [full, kept] = TOKENS.map(since);
  const metered = frames > 0 && status.joules !== null && before.joules !== null;
  const spent = metered ? since("joules") : null;
  return {
    keptShare: full > 0 ? kept / full : null,
    joulesPerFrame: metered ? spent / frames : null,
    lately: { full, kept, joules: spent, metered: metered ? frames : 0 },
  };
}

/** Seconds since the last result of a stream that should give some; null when all is well. */
function quietFor(status) {
  if (status.state !== "running") return null;
  const quiet = serverNow() - Math.max(status.results_at ?? 0, status.since);
  return quiet > Math.max(STALE_S, 5 / (status.fps || Infinity)) ? quiet : null;
}

/** The joules that were saved, measured against what the stream's own frames cost in full; null where that is not known. */
export const saved = (status) => status.saved_joules;

/** The tokens kept since the warm-up, as a share; null where there are none. */
export function steadyShare({ tokens_full: full, tokens_kept: kept, warm_up_tokens: warm }) {
  return full > warm ? (kept - warm) / (full - warm) : null;
}
