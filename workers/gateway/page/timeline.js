// Events as they happened: a row of pictures, the newest first; of one stream or of all.

import { address, ask } from "./api.js";
import { el, write } from "./dom.js";
import { duration } from "./format.js";

const EVERY_MS = 2000;
const LIMIT = 60;
// Severity as a shape and a word, so that it does not hang on colour.
const MARKS = { info: "○", warning: "◐", alarm: "●" };

class Item {
  #when = el("small");
  #text = el("p");
  #clip = el("p", { class: "play", hidden: true });
  #shown = null;

  constructor(event, withStream) {
    const picture = event.snapshot
      ? el("a", { class: "picture", href: address(event.snapshot.slice(1)), target: "_blank", rel: "noopener" },
        el("img", { src: address(event.snapshot.slice(1)), alt: `Picture of ${event.rule}`, loading: "lazy" }))
      : el("div", { class: "picture" }, el("span", { class: "none" }, "no picture"));
    const stream = el("a", { href: `#/streams/${event.stream}` }, event.stream);
    this.element = el("li", { class: "event", "data-severity": event.severity, "data-event": event.id }, picture,
      el("p", { class: "severity" }, el("span", { "aria-hidden": "true" }, `${MARKS[event.severity] ?? "○"} `), event.severity),
      el("strong", {}, event.rule), this.#text, ...(withStream ? [stream] : []), this.#when, this.#clip);
  }

  update({ start, end, clip }) {
    if (start || end) this.#tell(start, end);
    const of = clip ?? end ?? start;
    const shown = of.clip ?? of.clip_reason ?? null;
    if (shown === this.#shown) return;
    this.#shown = shown;
    this.#clip.hidden = shown === null;
    this.#clip.replaceChildren(of.clip
      ? el("button", { type: "button", "aria-label": `Play the clip of ${of.rule}`, onclick: () => play(of) }, "▶ Clip")
      : el("small", {}, `no clip: ${of.clip_reason}`));
  }

  #tell(start, end) {
    const began = start?.at ?? start?.noted_at ?? end.began?.at ?? end.noted_at;
    const lasted = end ? (end.duration_s === null ? "over" : `lasted ${duration(end.duration_s)}`) : "under way";
    this.element.dataset.state = end ? "end" : "start";
    write(this.#text, (start ?? end).text);
    write(this.#when, `${clock(began)} · ${lasted}`);
  }
}

/** Plays a clip over the page; what the browser cannot play can still be saved. */
function play(event) {
  const source = address(event.clip.slice(1));
  const trouble = el("p", { hidden: true }, "This browser does not play what the camera sends; save it for another player.");
  const video = el("video", {
    src: source, controls: true, autoplay: true, muted: true, playsInline: true, onerror: () => { trouble.hidden = false; },
  });
  const dialog = el("dialog", { class: "clip", "aria-label": `Clip of ${event.rule}`, onclose: () => dialog.remove() },
    el("h2", {}, `${event.rule}, ${event.stream}`), video, trouble,
    el("div", { class: "buttons" },
      el("a", { href: source, download: `${event.stream}-${event.rule}-${event.clip.split("/").pop()}` }, "Save"),
      el("button", { type: "button", onclick: () => dialog.close() }, "Close")));
  document.body.append(dialog);
  dialog.showModal();
}

function clock(seconds) {
  const then = new Date(seconds * 1000);
  const today = then.toDateString() === new Date().toDateString();
  const day = today ? {} : { day: "numeric", month: "short" };
  return then.toLocaleString("en-GB", { ...day, hour: "2-digit", minute: "2-digit", second: "2-digit" });
}

/** What was told of the same events together, in the order of the newest of each. */
function together(events) {
  const found = new Map();
  for (const event of events) {
    const key = `${event.stream} ${event.id}`;
    if (!found.has(key)) found.set(key, {});
    found.get(key)[event.state] = event;
  }
  return found;
}

/** The timeline of `path`; returns the element, `close()`. With `quiet` it is hidden while there are no events. */
export function timeline(path, { withStream = false, quiet = false } = {}) {
  const items = new Map();
  const none = el("p", { class: "basis" }, "No events. Rules of the stream make them.");
  const list = el("ol", { class: "events", tabIndex: 0, "aria-label": "Events, the newest first" });
  const element = el("section", { class: "panel wide", "aria-label": "Events", hidden: quiet }, el("h3", {}, "Events"), none, list);
  let timer = 0;
  let closed = false;

  const draw = (events) => {
    const found = together(events);
    for (const [key, item] of items) {
      if (found.has(key)) continue;
      item.element.remove();
      items.delete(key);
    }
    let before = null;
    for (const [key, pair] of found) {
      if (!items.has(key)) items.set(key, new Item(pair.start ?? pair.end ?? pair.clip, withStream));
      const item = items.get(key);
      item.update(pair);
      // Moved only where it is not in its place, so that the row stays where it was scrolled to.
      const place = before ? before.nextSibling : list.firstChild;
      if (place !== item.element) list.insertBefore(item.element, place);
      before = item.element;
    }
    none.hidden = items.size > 0;
    list.hidden = items.size === 0;
    element.hidden = quiet && items.size === 0;
  };

  const look = async () => {
    if (!document.hidden) {
      try {
        const { events } = await ask("GET", `${path}?limit=${LIMIT}`);
        if (!closed) draw(events);
      } catch {
        // The banner says that the service is away, and the login asks for a token; what is shown stays.
      }
    }
    if (!closed) timer = setTimeout(look, EVERY_MS);
  };
  look();
  return {
    element,
    close() {
      closed = true;
      clearTimeout(timer);
    },
  };
}
