// What all streams are doing, with the figures of the last minute. Every two seconds a page of them is asked for, one
// page after the other, and with it what was added, changed or removed since: what that costs the service does not grow
// with their number.

import { ask, Away, serverNow, streamPath } from "./api.js";

const EVERY_MS = 2000;
const PAGE = 500;
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
    /** Id of the one stream that is looked at, which is asked for every time. */
    this.watched = null;
    this.#changed = changed;
  }

  #changed;
  #history = new Map();
  #timer = 0;
  #answeredAt = Date.now();
  #asking = null;
  // Where the next page begins, since when changes were heard, and whom this round of pages has seen.
  #after = null;
  #since = null;
  #round = new Set();
  #whole = false;

  /** Asks now, and from then on again and again. */
  async refresh() {
    // An answer under way may be older than the change that this is called for.
    await this.#asking;
    clearTimeout(this.#timer);
    this.#asking = this.#ask();
    await this.#asking;
    clearTimeout(this.#timer);
    // Without a token there is nothing to ask for; the dialog goes on from there.
    if (this.problem?.status === 401) return;
    // The first round is read without a pause.
    const pause = this.#whole || this.problem ? EVERY_MS : 0;
    this.#timer = setTimeout(() => this.refresh(), pause);
  }

  async #ask() {
    try {
      await this.#askForPage();
      [this.known, this.problem, this.awayFor] = [true, null, 0];
      this.#answeredAt = Date.now();
    } catch (error) {
      this.problem = error;
      this.awayFor = error instanceof Away || error.status === 503 ? (Date.now() - this.#answeredAt) / 1000 : 0;
    }
    this.#changed();
  }

  async #askForPage() {
    const query = new URLSearchParams({ limit: PAGE });
    if (this.#after !== null) query.set("after", this.#after);
    if (this.#since !== null) query.set("since", this.#since);
    const { streams, next, changes, changed, gone } = await ask("GET", `v1/streams?${query}`);
    const several = next !== null || this.#after !== null;
    const before = this.all.size;
    for (const view of [...streams, ...(changed ?? [])]) this.#take(view);
    if (this.all.size > before) this.#sort();
    for (const id of gone) this.#drop(id);
    // Where too much has changed to be told, the pages are gone through from the start.
    const lost = this.#since !== null && changed === null;
    [this.#after, this.#since] = [lost ? null : next, changes];
    if (lost) this.#round.clear();
    if (!lost && next === null) this.#endRound();
    if (several) await this.#askForWatched(streams);
  }

  #endRound() {
    for (const id of this.all.keys()) if (!this.#round.has(id)) this.#drop(id);
    this.#round.clear();
    this.#whole = true;
  }

  async #askForWatched(streams) {
    if (!this.all.has(this.watched) || streams.some((view) => view.id === this.watched)) return;
    try {
      this.#take(await ask("GET", streamPath(this.watched)));
    } catch (error) {
      if (error.status !== 404) throw error;
      this.#drop(this.watched);
    }
  }

  /** The oldest first, as people added them. */
  #sort() {
    this.all = new Map([...this.all].sort(([, one], [, other]) => one.created_at - other.created_at));
  }

  #take(view) {
    this.all.set(view.id, this.#seen(view));
    this.#round.add(view.id);
  }

  #drop(id) {
    this.all.delete(id);
    this.#history.delete(id);
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
