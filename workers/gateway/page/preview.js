// Pictures of streams: of what is on the screen, all in one request, at most twice a second.

import { ask } from "./api.js";
import { el } from "./dom.js";
import { decoded } from "./jpeg.js";

const EVERY_MS = 500;
// While the service does not answer it is asked less and less often.
const LONGEST_MS = 16_000;
const MOST = 64;

const wanted = new Set();
let waitMs = EVERY_MS;
let timer = null;
let asking = false;

const onScreen = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) target.dispatchEvent(new CustomEvent("seen", { detail: isIntersecting }));
}, { rootMargin: "100px" });

export class Preview {
  #visible = false;
  #canvas = null;
  #shown = null;

  constructor(id) {
    this.id = id;
    this.map = true;
    this.live = false;
    this.held = false;
    this.box = el("div", { class: "picture", "aria-hidden": "true" }, el("span", { class: "none" }, "no picture yet"));
    this.box.addEventListener("seen", ({ detail }) => {
      this.#visible = detail;
      if (detail) soon();
    });
    onScreen.observe(this.box);
    wanted.add(this);
  }

  /** Whether pictures are to be had now: only a stream that runs has new ones. */
  show(live) {
    if (live && !this.live) soon();
    this.live = live;
    this.box.classList.toggle("old", !live);
  }

  /** Asks for a picture as soon as may be. */
  again() {
    this.#shown = null;
    soon();
  }

  close() {
    wanted.delete(this);
    onScreen.unobserve(this.box);
  }

  get due() {
    return this.live && this.#visible && !this.held;
  }

  /** Decodes a picture that is not on the screen yet; gives what puts it there. */
  async prepared({ frame, jpeg, part }, map) {
    if (frame === this.#shown || map !== this.map) return null;
    const picture = await decoded(jpeg);
    return () => {
      if (map === this.map && !this.held) this.#put(picture, frame, part);
    };
  }

  // Into a canvas: a new picture there needs no layout, and the page around it is not painted again.
  #put(picture, frame, part) {
    this.#canvas ??= el("canvas");
    const canvas = this.#canvas;
    if (canvas.width !== picture.width) canvas.width = picture.width;
    if (canvas.height !== picture.height) canvas.height = picture.height;
    canvas.getContext("bitmaprenderer").transferFromImageBitmap(picture);
    canvas.dataset.frame = frame;
    if (!canvas.isConnected) this.box.replaceChildren(canvas);
    this.#shown = frame;
    this.box.dispatchEvent(new CustomEvent("shown", { detail: { frame, width: canvas.width, height: canvas.height, part } }));
  }
}

/** Looks again at once, unless the service is known to be away. */
function soon() {
  if (waitMs === EVERY_MS && !asking) next(0);
}

function next(afterMs) {
  clearTimeout(timer);
  timer = setTimeout(look, afterMs);
}

async function look() {
  const began = performance.now();
  const due = document.hidden ? [] : [...wanted].filter((preview) => preview.due);
  asking = true;
  try {
    for (const map of [true, false]) await load(due.filter((preview) => preview.map === map), map);
    waitMs = EVERY_MS;
  } catch {
    waitMs = Math.min(LONGEST_MS, waitMs * 2);
  }
  asking = false;
  next(Math.max(0, waitMs - (performance.now() - began)));
}

async function load(previews, map) {
  for (let first = 0; first < previews.length; first += MOST) {
    const some = previews.slice(first, first + MOST);
    const query = new URLSearchParams([...some.map(({ id }) => ["stream", id]), ["map", map]]);
    const { pictures } = await ask("GET", `v1/previews?${query}`);
    const found = some.filter(({ id }) => pictures[id]).map((preview) => preview.prepared(pictures[preview.id], map));
    const ready = await Promise.allSettled(found);
    // All at once: the browser paints once.
    for (const { value } of ready) value?.();
  }
}

look();
