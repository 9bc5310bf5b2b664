// The form of a zone while it is drawn: its corners on the picture, its name and its states beside it.

import { draw } from "./draw.js";
import { el, write } from "./dom.js";
import { submits } from "./forms.js";
import { POLYGON } from "./shapes.js";

/** Draws a zone, or `zone` anew; `save(name, {polygon, states})` is awaited, `ended()` called in the end. */
export function zoneForm(stage, zone, { save, ended }) {
  const hint = el("p", { class: "basis", role: "status" });
  const name = el("input", { name: "name", required: true, maxLength: 64, autocomplete: "off", spellcheck: false, placeholder: "gate" });
  const states = el("input", { name: "states", required: true, autocomplete: "off", spellcheck: false, placeholder: "open, closed" });
  // The reasons of what cannot be right of the corners stand here.
  const polygon = el("output", { name: "polygon" });
  const anew = el("button", { type: "button", onclick: () => start([]) }, "Start over");
  const cancel = el("button", { type: "button", onclick: () => end() }, "Cancel");
  const form = el("form", { noValidate: true, class: "zone-form", "aria-label": zone ? `Zone ${zone.name}` : "New zone" },
    el("p", { class: "problem", role: "alert", hidden: true }), hint, polygon,
    el("div", { class: "pair" },
      el("label", { hidden: zone !== null }, "Name", name),
      el("label", {}, "States", states, el("small", {}, "two or more, with commas between"))),
    el("p", { class: "buttons" }, anew, cancel, el("button", { class: "primary" }, "Save zone")));
  let drawing = null;

  const end = () => {
    if (!drawing) return;
    drawing.end();
    drawing = null;
    form.remove();
    ended();
  };

  const start = (corners) => {
    drawing?.end();
    drawing = draw(stage, POLYGON, {
      changed(now, closed) {
        anew.hidden = now.length === 0;
        write(hint, said(now.length, closed));
      },
      cancelled: end,
    }, corners);
  };

  form.addEventListener("keydown", (event) => {
    if (event.key === "Escape") end();
  });
  submits(form, async () => {
    if (!name.value.trim()) throw wrong("name", "give the zone a name");
    if (name.value.includes("/")) throw wrong("name", "a name without / is wanted: it becomes a part of an address");
    if (drawing.corners.length < POLYGON.least) throw wrong("polygon", "click three corners on the picture at least");
    drawing.close();
    const named = states.value.split(",").map((one) => one.trim()).filter(Boolean);
    const rounded = drawing.corners.map((corner) => corner.map((value) => Number(value.toFixed(4))));
    await save(name.value.trim(), { polygon: rounded, states: named });
    end();
  });
  if (zone) {
    name.value = zone.name;
    states.value = zone.states.map((state) => state.name).join(", ");
  }
  start(zone ? zone.polygon : []);
  return { element: form, end };
}

function said(count, closed) {
  if (closed) return "Drag corners to where they belong; Delete takes one away. Moments of a zone that is moved are dropped.";
  if (count === 0) return "Click the corners of the zone on the picture, in their order around it. Escape leaves.";
  if (count < POLYGON.least) return `${count} of at least ${POLYGON.least} corners.`;
  return `${count} corners. Click the first one again, or press Enter, to close.`;
}

function wrong(field, reason) {
  return Object.assign(new Error(reason), { fields: new Map([[field, reason]]) });
}
