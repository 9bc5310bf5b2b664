// The zones of a stream: draw one, say in which state it is while watching, see how well it is told.

import { ask, streamPath } from "./api.js";
import { askFirst } from "./dialogs.js";
import { el, say, write } from "./dom.js";
import { number } from "./format.js";
import { marks } from "./marks.js";
import { zoneCard } from "./zone.js";
import { zoneForm } from "./zone_form.js";

const EVERY_MS = 15_000;

/** The panel; `stage` is where zones are drawn. Returns the element, `tell(newest result)`, `update(view)`, `all` and `close()`. */
export function zones(id, stage) {
  const path = (name, rest = "") => streamPath(id, `/zones/${encodeURIComponent(name)}${rest}`);
  const list = el("ul", { class: "cards" });
  const problem = el("p", { class: "problem", role: "alert", hidden: true });
  const add = el("button", { type: "button", onclick: () => begin(null) }, "Draw a zone");
  const about = el("p", { class: "basis" },
    "For a camera that does not move. Draw a part of the picture and name its states; then click the one that it is in while you watch, about five times each, at different times of day.");
  const place = el("div");
  const element = el("section", { class: "panel", "aria-label": "Zones" },
    el("div", { class: "head" }, el("h3", {}, "Zones"), add), about, problem, place, list);
  const shown = marks(stage);
  const cards = new Map();
  let all = [];
  let newest = {};
  let live = false;
  let revision = null;
  let askedAt = -Infinity;
  let form = null;
  let open = true;

  const draw = () => {
    // What was so when the stream was lost may not be so now.
    const told = live ? newest : {};
    for (const [name, card] of cards) {
      if (all.some((zone) => zone.name === name)) continue;
      card.element.remove();
      cards.delete(name);
    }
    all.forEach((zone, at) => {
      if (!cards.has(zone.name)) cards.set(zone.name, zoneCard(zone.name, does));
      const card = cards.get(zone.name);
      card.update(zone, told[zone.name]);
      if (list.children[at] !== card.element) list.insertBefore(card.element, list.children[at] ?? null);
    });
    shown.set(all, told);
  };

  const load = async () => {
    const asked = askedAt = performance.now();
    try {
      const found = await ask("GET", streamPath(id, "/zones"));
      // An older answer may come after a newer one.
      if (!open || asked !== askedAt) return;
      all = found.zones;
      draw();
    } catch {
      // Asked for again; what is wrong with the service the page says above.
    }
  };

  const does = {
    /** Takes the frame that is shown for a moment of a state. */
    async record(name, state) {
      const zone = await ask("POST", path(name, "/examples"), { state, frame: stage.frame });
      const { examples } = zone.states.find((one) => one.name === state);
      say(`${name} is ${state}: ${number(examples)} recorded`);
      await load();
    },
    async takeBack(name) {
      await ask("DELETE", path(name, "/examples/newest"));
      say(`The newest moment of ${name} was taken back`);
      await load();
    },
    async rename(name, to) {
      await ask("PATCH", path(name), { name: to });
      say(`${name} is called ${to}`);
      await load();
    },
    redraw: (zone) => begin(zone),
    remove(name) {
      askFirst(name, "Its moments are deleted, and results no longer have its state.", async () => {
        await ask("DELETE", path(name));
        await load();
      });
    },
  };

  const begin = (zone) => {
    form?.end();
    problem.hidden = stage.ready;
    if (!stage.ready) {
      write(problem, "There is no picture to draw on yet; is the stream running?");
      return;
    }
    shown.hide(zone?.name ?? null);
    add.hidden = true;
    form = zoneForm(stage, zone, {
      async save(name, drawn) {
        await ask("PUT", path(name), drawn);
        say(`${name} drawn`);
        await load();
      },
      ended() {
        form = null;
        add.hidden = false;
        shown.hide(null);
        add.focus();
      },
    });
    place.replaceChildren(form.element);
  };

  return {
    element,
    get all() {
      return all;
    },
    /** What the newest result says of the zones. */
    tell(result) {
      newest = result?.zones ?? {};
      draw();
    },
    update(view) {
      live = view.status.state === "running";
      if (view.revision !== revision || performance.now() > askedAt + EVERY_MS) {
        revision = view.revision;
        load();
      } else draw();
    },
    close() {
      open = false;
      form?.end();
      shown.close();
    },
  };
}
