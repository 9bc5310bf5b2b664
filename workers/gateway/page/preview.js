// Pictures of streams: few at a time, only of what is on the screen, each at most twice a second.

import { address, streamPath } from "./api.js";
import { el } from "./dom.js";

const AT_A_TIME = 3;
const EVERY_MS = 500;
// A picture that could not be had is asked for less and less often.
const LONGEST_MS = 16_000;

const wanted = new Set();
let loading = 0;

const onScreen = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) target.dispatchEvent(new CustomEvent("seen", { detail: isIntersecting }));
}, { rootMargin: "100px" });

export class Preview {
  #visible = false;
  #picture = null;
  #nextAt = 0;
  #waitMs = EVERY_MS;

  constructor(id) {
    this.id = id;
    this.map = true;
    this.live = false;
    this.box = el("div", { class: "picture", "aria-hidden": "true" }, el("span", { class: "none" }, "no picture yet"));
    this.box.addEventListener("seen", ({ detail }) => { this.#visible = detail; });
    onScreen.observe(this.box);
    wanted.add(this);
  }

  /** Whether pictures are to be had now: only a stream that runs has new ones. */
  show(live) {
    if (live && !this.live) this.again();
    this.live = live;
    this.box.classList.toggle("old", !live);
  }

  /** Asks for a picture as soon as may be. */
  again() {
    [this.#nextAt, this.#waitMs] = [0, EVERY_MS];
  }

  close() {
    wanted.delete(this);
    onScreen.unobserve(this.box);
  }

  due(now) {
    return this.live && this.#visible && now >= this.#nextAt;
  }

  async load() {
    this.#nextAt = Infinity;
    const began = performance.now();
    const map = this.map;
    const fresh = el("img", { alt: "", src: address(streamPath(this.id, "/preview.jpg"), { map, at: Date.now() }) });
    try {
      await fresh.decode();
      if (map === this.map) this.#put(fresh);
      this.#waitMs = EVERY_MS;
    } catch {
      this.#waitMs = Math.min(LONGEST_MS, this.#waitMs * 2);
    }
    // Whoever asked anew meanwhile is not made to wait.
    if (this.#nextAt === Infinity) this.#nextAt = began + this.#waitMs;
  }

  #put(fresh) {
    if (this.#picture) this.#picture.replaceWith(fresh);
    else this.box.replaceChildren(fresh);
    this.#picture = fresh;
  }
}

setInterval(() => {
  if (document.hidden) return;
  const now = performance.now();
  for (const preview of wanted) {
    if (loading >= AT_A_TIME) return;
    if (!preview.due(now)) continue;
    // Those that were served last come last.
    wanted.delete(preview);
    wanted.add(preview);
    loading += 1;
    preview.load().finally(() => { loading -= 1; });
  }
}, 50);
