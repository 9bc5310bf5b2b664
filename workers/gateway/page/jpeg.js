// Pictures that the API gives as JPEG in base64.

import { el } from "./dom.js";

/** The picture, decoded. */
export function decoded(jpeg) {
  const bytes = Uint8Array.from(atob(jpeg), (one) => one.charCodeAt(0));
  return createImageBitmap(new Blob([bytes], { type: "image/jpeg" }));
}

/** A canvas that shows it as soon as it is decoded, empty where it cannot be. */
export function shown(jpeg, label) {
  const canvas = el("canvas", { role: "img", "aria-label": label });
  decoded(jpeg).then((picture) => {
    [canvas.width, canvas.height] = [picture.width, picture.height];
    canvas.getContext("bitmaprenderer").transferFromImageBitmap(picture);
  }, () => {});
  return canvas;
}
