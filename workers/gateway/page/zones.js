// The zones of a stream: draw one, say in which state it is while watching, see how well it is told.

import { ask, streamPath } from "./api.js";
import { askFirst } from "./dialogs.js";
import { el, say, write } from "./dom.js";
import { arrange, listing } from "./drawn.js";
import { number } from "./format.js";
import { marks } from "./marks.js";
import { zoneCard } from "./zone.js";
import { zoneForm } from "./zone_form.js";

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
  let form = null;

  const draw = () => {
    // What was so when the stream was lost may not be so now.
    const told = live ? newest : {};
    arrange(list, cards, all, ({ name }) => name, ({ name }) => zoneCard(name, does));
    for (const zone of all) cards.get(zone.name).update(zone, told[zone.name]);
    shown.set(all, told);
  };

  const found = listing(streamPath(id, "/zones"), (answer) => {
    all = answer.zones;
    draw();
  });

  const does = {
    /** Takes the frame that is shown for a moment of a state. */
    async record(name, state) {
      const zone = await ask("POST", path(name, "/examples"), { state, frame: stage.frame });
      const { examples } = zone.states.find((one) => one.name === state);
      say(`${name} is ${state}: ${number(examples)} recorded`);
      await found.load();
    },
    async takeBack(name) {
      await ask("DELETE", path(name, "/examples/newest"));
      say(`The newest moment of ${name} was taken back`);
      await found.load();
    },
    async rename(name, to) {
      await ask("PATCH", path(name), { name: to });
      say(`${name} is called ${to}`);
      await found.load();
    },
    redraw: (zone) => begin(zone),
    remove(name) {
      askFirst(name, "Its moments are deleted, and results no longer have its state.", async () => {
        await ask("DELETE", path(name));
        await found.load();
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
        await found.load();
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
      if (!found.update(view)) draw();
    },
    close() {
      found.close();
      form?.end();
      shown.close();
    },
  };
}
