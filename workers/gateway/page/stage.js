// A stream's picture with what lies over it: places in 0..1 of the source picture, on the screen and back.

import { el, shape } from "./dom.js";

/** Puts a layer to draw in over a preview; returns the elements and what knows where on the screen a place is. */
export function stage(preview) {
  const layer = shape("svg", { class: "layer" });
  const labels = el("div", { class: "labels" });
  const element = el("div", { class: "stage" }, preview.box, layer, labels);
  const listeners = new Set();
  let shown = null;

  const redraw = () => listeners.forEach((draw) => draw());
  preview.box.addEventListener("shown", ({ detail }) => {
    const same = shown && ["width", "height"].every((name) => shown[name] === detail[name]) && `${shown.part}` === `${detail.part}`;
    shown = detail;
    if (!same) redraw();
  });
  const resized = new ResizeObserver(redraw);
  resized.observe(element);

  // As `object-fit: contain` has it.
  const fit = () => {
    const { clientWidth: width, clientHeight: height } = element;
    const scale = Math.min(width / shown.width, height / shown.height);
    const [across, down] = [shown.width * scale, shown.height * scale];
    const [left, top, right, bottom] = shown.part;
    return { left: (width - across) / 2, top: (height - down) / 2, across, down, part: { left, top, width: right - left, height: bottom - top } };
  };

  return {
    element,
    layer,
    labels,
    /** Whether there is a picture, without which nothing has a place. */
    get ready() {
      return shown !== null && element.clientWidth > 0;
    },
    /** Whether the picture stands still, so that what moves can be drawn around. */
    set frozen(on) {
      preview.held = on;
    },
    /** Has `look()` called whenever another picture is shown; returns what ends that. */
    onPicture(look) {
      preview.box.addEventListener("shown", look);
      return () => preview.box.removeEventListener("shown", look);
    },
    /** What leaves the drawing that is under way; null for none. Two cannot be at once. */
    leave: null,
    /** The number of the frame that is shown; null before there is one. */
    get frame() {
      return shown?.frame ?? null;
    },
    /** Pixels from the layer's upper left corner. */
    toScreen([x, y]) {
      const { left, top, across, down, part } = fit();
      return [left + ((x - part.left) / part.width) * across, top + ((y - part.top) / part.height) * down];
    },
    /** The place under a pointer, or the nearest in what is shown. */
    toPicture({ clientX, clientY }) {
      const box = element.getBoundingClientRect();
      const { left, top, across, down, part } = fit();
      const within = (value) => Math.min(1, Math.max(0, value));
      const u = within((clientX - box.left - left) / across);
      const v = within((clientY - box.top - top) / down);
      return [part.left + u * part.width, part.top + v * part.height];
    },
    /** What is shown of the source picture: nothing beyond it can be drawn. */
    get part() {
      return shown.part;
    },
    /** Has `draw()` called whenever places come to lie elsewhere on the screen; returns what ends that. */
    onMove(draw) {
      listeners.add(draw);
      return () => listeners.delete(draw);
    },
    close: () => resized.disconnect(),
  };
}
