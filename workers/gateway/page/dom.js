// Elements without markup in strings: what a stream is named can never become part of the page.

/** Makes an element; properties named `on…` listen, `class`, `aria-…`, `data-…` and `role` are attributes. */
export function el(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (/^(class|role|scope|for|(aria|data)-.*)$/.test(key)) made.setAttribute(key, value);
    else made[key] = value;
  }
  made.append(...children);
  return made;
}

/** Makes an element of a drawing (SVG); all properties but those that listen are attributes. */
export function shape(name, properties = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(properties)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

/** Sets text only when it differs, so that selections and screen readers are left alone. */
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** A list of names and figures; returns the element, and `set(values)` for its figures. */
export function figures(names, kind = "figures") {
  const cells = names.map((name) => el("dd", {}, "–"));
  const list = el("dl", { class: kind }, ...names.map((name, at) => el("div", {}, el("dt", {}, name), cells[at])));
  return { list, set: (values) => values.forEach((value, at) => write(cells[at], value)) };
}

const MARKS = {
  running: "●", degraded: "◐", starting: "◔", reconnecting: "↻", paused: "‖", ended: "■", failed: "✕", stale: "▲", gone: "■",
};

/** The state of a stream: a shape and a word, so that it does not hang on colour. */
export function badge() {
  const mark = el("span", { "aria-hidden": "true" });
  const word = el("span");
  const shown = el("span", { class: "badge" }, mark, word);
  return {
    shown,
    set(state) {
      shown.dataset.state = state;
      write(mark, MARKS[state] ?? "?");
      write(word, state);
    },
  };
}

/** Tells screen readers. */
export function say(text) {
  document.getElementById("said").textContent = text;
}
