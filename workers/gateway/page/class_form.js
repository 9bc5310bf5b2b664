// The form of a box while it is drawn: the picture stands still, and a name is given to what is in the box.

import { draw } from "./draw.js";
import { el, say, write } from "./dom.js";
import { submits, tell } from "./forms.js";
import { NOT_THIS } from "./class.js";
import { BOX, boxOf } from "./shapes.js";

// Shorter than the service keeps a frame that is drawn in.
const RENEW_MS = 45_000;
// Of a picture's side; a click that was no drag is no box.
const LEAST = 0.005;

/** Draws boxes; `hold(frame)` and `save({name, box, frame})` are awaited, `ended()` called in the end. */
export function classForm(stage, chosen, names, { hold, save, ended }) {
  const hint = el("p", { class: "basis", role: "status" });
  const known = el("datalist", { id: "class-names" }, ...names.map((name) => el("option", { value: name })));
  const name = el("input", { name: "name", required: true, maxLength: 64, autocomplete: "off", spellcheck: false, placeholder: "person" });
  name.setAttribute("list", known.id);
  const none = el("input", { type: "checkbox", name: "none", onchange: () => fit() });
  // The reasons of what cannot be right of the box stand here.
  const box = el("output", { name: "box" });
  const later = el("button", { type: "button", onclick: () => another() }, "Another picture");
  const done = el("button", { type: "button", onclick: () => end() }, "Done");
  const form = el("form", { noValidate: true, class: "zone-form", "aria-label": "Draw boxes" },
    el("p", { class: "problem", role: "alert", hidden: true }), hint, box, known,
    el("div", { class: "pair" },
      el("label", {}, "Name", name),
      el("label", { class: "check" }, none, "It has none of the names")),
    el("p", { class: "buttons" }, later, done, el("button", { class: "primary" }, "Save box")));
  let drawing = null;
  let renewal = 0;
  let leave = null;
  let open = true;

  const fit = () => {
    name.disabled = none.checked;
  };

  const end = () => {
    if (!open) return;
    open = false;
    clearInterval(renewal);
    leave?.();
    drawing?.end();
    stage.frozen = false;
    form.remove();
    ended();
  };

  const start = () => {
    drawing?.end();
    drawing = draw(stage, BOX, { changed: (corners, closed) => write(hint, hinted(corners.length, closed)), cancelled: end });
  };

  const holding = async () => {
    try {
      await hold(stage.frame);
    } catch (error) {
      if (open) tell(form, error);
    }
  };

  const freeze = () => {
    stage.frozen = true;
    clearInterval(renewal);
    renewal = setInterval(holding, RENEW_MS);
    start();
    return holding();
  };

  const another = () => {
    drawing?.end();
    drawing = null;
    stage.frozen = false;
    clearInterval(renewal);
    write(hint, "Waiting for the next picture …");
    leave?.();
    leave = stage.onPicture(() => {
      leave();
      leave = null;
      freeze();
      say("a new picture");
    });
  };

  form.addEventListener("keydown", (event) => {
    if (event.key === "Escape") end();
  });
  submits(form, async () => {
    const called = none.checked ? NOT_THIS : name.value.trim();
    if (!called) throw wrong("name", "say what is in the box");
    if (called.includes("/")) throw wrong("name", "a name without / is wanted: it becomes a part of an address");
    const { x, y, w, h } = drawing?.closed ? boxOf(drawing.corners) : { w: 0, h: 0 };
    if (w < LEAST || h < LEAST) throw wrong("box", "draw a box around one thing on the picture");
    await save({ name: called, box: [x, y, w, h], frame: stage.frame });
    if (open) start();
  });
  if (chosen === NOT_THIS) none.checked = true;
  else name.value = chosen ?? "";
  fit();
  freeze();
  return { element: form, end };
}

function hinted(count, closed) {
  if (closed) return "Drag corners to where they belong; then say what it is.";
  if (count) return "Click the corner across from it.";
  return "The picture stands still. Drag a box around one thing, as near to it as you can. Escape leaves.";
}

function wrong(field, reason) {
  return Object.assign(new Error(reason), { fields: new Map([[field, reason]]) });
}
