// The library that draws lines: fetched when a stream is first looked at, with the colours of the page.

const ADDRESS = "page/plotly.min.js";
// Of the four kinds of lines; after them they begin anew.
const DASHES = ["solid", "dash", "dot", "dashdot"];

const dark = matchMedia("(prefers-color-scheme: dark)");
let library = null;
let colours = null;
dark.addEventListener("change", () => { colours = null; });

/** The library; asked for again where it could not be loaded before. */
export function plotly() {
  library ??= new Promise((loaded, failed) => {
    const script = document.createElement("script");
    script.src = ADDRESS;
    script.onload = () => loaded(window.Plotly);
    script.onerror = () => {
      script.remove();
      library = null;
      failed(new Error("the charts could not be loaded"));
    };
    document.head.append(script);
  });
  return library;
}

/** Calls `redraw` when the colours of the page change; returns how to stop that. */
export function whenRecoloured(redraw) {
  dark.addEventListener("change", redraw);
  return () => dark.removeEventListener("change", redraw);
}

/** How line number `at` is drawn: by colour, and for those who cannot tell these apart by its dashes. */
export function line(at) {
  const kind = at % DASHES.length;
  return { color: theme()[`line-${kind}`], dash: DASHES[kind], width: 2 };
}

/** The colours of style sheets, which SVG made by scripts does not know by name. */
export function theme() {
  if (!colours) {
    const style = getComputedStyle(document.documentElement);
    const names = ["ink", "faint", "line", "panel", "field", ...DASHES.map((_, at) => `line-${at}`)];
    colours = Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
  }
  return colours;
}
