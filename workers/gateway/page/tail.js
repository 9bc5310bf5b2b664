// Follows the results of one stream over Server-Sent Events, and keeps the latest.

import { address, streamPath } from "./api.js";

const KEPT = 600;
// How far back late energies are asked for.
const BACK_S = 600;
const LONGEST_PAUSE_MS = 15_000;

export class Tail {
  /** The latest results by frame number, oldest first. */
  results = new Map();
  /** "connecting", "live" or "gone". */
  state = "connecting";
  /** What was lost, newest last. */
  gaps = [];

  #id;
  #after;
  #changed;
  #source = null;
  #timer = 0;
  #pauseMs = 500;
  #newest = -1;

  /** Begins a few hundred results back; `changed()` is called after every event. */
  constructor(id, status, changed) {
    const since = `${Math.floor(((status.results_at ?? 0) - BACK_S) * 1000)}-0`;
    const begin = Math.max(0, status.next_frame - KEPT);
    this.#id = id;
    this.#after = status.results_at ? `${begin}.${since}.${since}` : "0";
    this.#changed = changed;
    this.#open();
  }

  close() {
    clearTimeout(this.#timer);
    this.#source.close();
  }

  #open() {
    this.#source = new EventSource(address(streamPath(this.#id, "/results"), { after: this.#after }));
    this.#source.onopen = () => {
      this.#pauseMs = 500;
      this.#now("live");
    };
    this.#source.onerror = () => this.#lost();
    this.#on("prediction", (result) => this.#add(result));
    this.#on("energy", ({ frame, energy }) => {
      const result = this.results.get(frame);
      if (result) result.energy = energy;
    });
    this.#on("gap", (gap) => {
      if (this.results.size) this.gaps.push(gap.reason);
    });
    this.#on("state", ({ state }) => {
      if (state !== "deleted") return;
      this.#source.close();
      this.#now("gone");
    });
  }

  #on(name, take) {
    this.#source.addEventListener(name, (event) => {
      this.#after = event.lastEventId;
      take(JSON.parse(event.data));
      this.#changed();
    });
  }

  #add(result) {
    // The service lost its data and counts anew.
    if (result.frame < this.#newest) this.results.clear();
    this.#newest = result.frame;
    this.results.set(result.frame, result);
    if (this.results.size > KEPT) this.results.delete(this.results.keys().next().value);
  }

  #lost() {
    if (this.state === "gone") return;
    this.#now("connecting");
    // The browser tries again by itself, unless it was refused.
    if (this.#source.readyState !== EventSource.CLOSED) return;
    this.#timer = setTimeout(() => this.#open(), this.#pauseMs);
    this.#pauseMs = Math.min(LONGEST_PAUSE_MS, this.#pauseMs * 2);
  }

  #now(state) {
    this.state = state;
    this.#changed();
  }
}
