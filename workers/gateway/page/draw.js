// Draws a polygon or a box on a picture: with a mouse, a finger, or the arrow keys.

import { say, shape as make } from "./dom.js";

// So near to the first corner, in pixels, a click closes a polygon.
const NEAR = 14;
const STEP = 0.02;
const FINE = 0.004;
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const HELP = "Arrow keys move the cross, with Shift a little; Space sets a corner, Backspace takes one back, Enter closes, Escape leaves.";

/**
 * Draws on a stage (see stage.js).
 *
 * `shape` is one of shapes.js; `changed(corners, closed)` is called after every step, `cancelled()` when Escape was
 * pressed. Returns `corners` (in 0..1 of the source picture), `closed`, and `end()`, which takes the drawing away.
 */
export function draw(stage, shape, { changed, cancelled }, corners = []) {
  stage.leave?.();
  stage.leave = cancelled;
  const outline = make("path", { class: "outline" });
  const cross = make("path", { class: "cross" });
  const group = make("g", { class: "drawing" }, outline, cross);
  const { layer } = stage;
  let closed = corners.length >= shape.least;
  const [left, top, right, bottom] = stage.part;
  let cursor = [(left + right) / 2, (top + bottom) / 2];
  let dragged = null;

  const inside = ([x, y]) => [Math.min(right, Math.max(left, x)), Math.min(bottom, Math.max(top, y))];
  const near = (a, b) => Math.hypot(...stage.toScreen(a).map((value, axis) => value - stage.toScreen(b)[axis])) < NEAR;

  const redraw = () => {
    if (!stage.ready) return;
    const lines = corners.length ? shape.outline(corners).map((corner) => stage.toScreen(corner).join(" ")) : [];
    outline.setAttribute("d", lines.length ? `M${lines.join("L")}${closed ? "Z" : ""}` : "");
    const [x, y] = stage.toScreen(cursor);
    cross.setAttribute("d", `M${x - 12} ${y}h24M${x} ${y - 12}v24`);
    const handles = group.querySelectorAll(".corner");
    // Kept while they are as many, so that a corner keeps the focus while it moves.
    if (handles.length !== corners.length) {
      handles.forEach((handle) => handle.remove());
      group.append(...corners.map((_, at) => handle(at)));
    }
    group.querySelectorAll(".corner").forEach((one, at) => {
      const [cx, cy] = stage.toScreen(corners[at]);
      one.setAttribute("transform", `translate(${cx} ${cy})`);
    });
  };

  const handle = (at) => make("g", { class: "corner", tabindex: 0, role: "button", "data-corner": at, "aria-label": `Corner ${at + 1}` },
    // What a finger hits is larger than what is seen.
    make("circle", { r: 20, class: "reach" }), make("circle", { r: 7 }));

  const step = () => {
    redraw();
    changed(corners, closed);
  };

  const close = () => {
    if (closed || corners.length < shape.least) return;
    closed = true;
    say(`${shape.name} closed`);
    step();
  };

  const add = (place) => {
    if (closed || corners.length >= shape.most) return;
    if (corners.length >= shape.least && near(place, corners[0])) {
      close();
      return;
    }
    corners = [...corners, inside(place)];
    if (corners.length === shape.most) closed = true;
    say(`corner ${corners.length}`);
    step();
  };

  const remove = (at) => {
    corners = corners.filter((_, one) => one !== at);
    closed = closed && corners.length >= shape.least && shape.least < shape.most;
    step();
    layer.focus();
  };

  const onPointer = {
    pointerdown(event) {
      if (event.button !== 0) return;
      event.preventDefault();
      const corner = event.target.closest(".corner");
      layer.setPointerCapture(event.pointerId);
      if (corner) {
        corner.focus({ focusVisible: false });
        dragged = { at: Number(corner.dataset.corner), from: [event.clientX, event.clientY], moved: false };
        return;
      }
      layer.focus({ focusVisible: false });
      cursor = stage.toPicture(event);
      add(cursor);
      // A box is also drawn in one go.
      if (!closed && shape.most === 2) dragged = { at: 1, from: [event.clientX, event.clientY], moved: false };
    },
    pointermove(event) {
      if (!dragged) return;
      const [x, y] = dragged.from;
      dragged.moved ||= Math.hypot(event.clientX - x, event.clientY - y) > 4;
      if (!dragged.moved) return;
      corners = [...corners];
      corners[dragged.at] = stage.toPicture(event);
      redraw();
    },
    pointerup() {
      if (!dragged) return;
      const { at, moved } = dragged;
      dragged = null;
      if (moved) {
        if (corners.length === shape.most) closed = true;
        step();
      } else if (at === 0 && !closed && corners.length >= shape.least) close();
    },
    pointercancel() {
      dragged = null;
    },
  };

  const onKey = (event) => {
    const corner = event.target.closest?.(".corner");
    const at = corner ? Number(corner.dataset.corner) : null;
    const arrow = ARROWS[event.key];
    if (arrow) {
      const by = event.shiftKey ? FINE : STEP;
      const moved = ([x, y]) => inside([x + arrow[0] * by * (right - left), y + arrow[1] * by * (bottom - top)]);
      if (at === null) cursor = moved(cursor);
      else corners = corners.map((one, number) => (number === at ? moved(one) : one));
      if (at === null) redraw();
      else step();
    } else if (event.key === " " && at === null) add(cursor);
    else if (event.key === "Enter") close();
    else if ((event.key === "Backspace" || event.key === "Delete") && corners.length) remove(at ?? corners.length - 1);
    else if (event.key === "Escape") cancelled();
    else return;
    event.preventDefault();
    event.stopPropagation();
  };

  for (const [name, listen] of Object.entries(onPointer)) layer.addEventListener(name, listen);
  layer.addEventListener("keydown", onKey);
  layer.classList.add("active");
  layer.setAttribute("tabindex", 0);
  layer.setAttribute("role", "application");
  layer.setAttribute("aria-label", `Draw a ${shape.name} on the picture. ${HELP}`);
  layer.append(group);
  const leave = stage.onMove(redraw);
  step();
  layer.focus({ preventScroll: true });
  stage.element.scrollIntoView({ block: "nearest" });

  return {
    get corners() {
      return corners;
    },
    get closed() {
      return closed;
    },
    close,
    end() {
      leave();
      stage.leave = null;
      for (const [name, listen] of Object.entries(onPointer)) layer.removeEventListener(name, listen);
      layer.removeEventListener("keydown", onKey);
      layer.classList.remove("active");
      for (const name of ["tabindex", "role", "aria-label"]) layer.removeAttribute(name);
      group.remove();
    },
  };
}
