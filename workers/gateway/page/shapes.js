// What can be drawn on a picture: corners in 0..1, and the outline that they make.

/** Three corners or more, closed by who draws. */
export const POLYGON = {
  name: "polygon",
  least: 3,
  most: 64,
  outline: (corners) => corners,
};

/** Two corners across from each other; done with the second. */
export const BOX = {
  name: "box",
  least: 2,
  most: 2,
  outline: ([a, b]) => (b ? [a, [b[0], a[1]], b, [a[0], b[1]]] : [a]),
};

// Of a picture's side; finer than a pixel of what is shown.
const FINEST = 1e4;

/** A box as the API has them, of two corners; never a rounding beyond the picture. */
export function boxOf(corners) {
  const [[ax, ay], [bx, by]] = corners.map((corner) => corner.map((side) => Math.round(side * FINEST)));
  return { x: Math.min(ax, bx) / FINEST, y: Math.min(ay, by) / FINEST, w: Math.abs(ax - bx) / FINEST, h: Math.abs(ay - by) / FINEST };
}

/** Where a name is best put: over the middle. */
export function above(corners) {
  const across = corners.map(([x]) => x);
  return [(Math.min(...across) + Math.max(...across)) / 2, Math.min(...corners.map(([, y]) => y))];
}
