// Moments of a stream's history that look like a picture, or like what a text says: a form, and what was found as a grid of pictures.

import { address, ask, Refused, serverNow, streamPath } from "./api.js";
import { el, write } from "./dom.js";
import { number } from "./format.js";
import { shown } from "./jpeg.js";

const TOP = 12;
const HOUR_S = 3600;
const SPANS = [["all that is kept", null], ["the last hour", HOUR_S], ["the last day", 24 * HOUR_S], ["the last week", 168 * HOUR_S]];

/** The panel; returns the element and `update(view, live)`. It hides while the stream keeps no history. */
export function finder(id) {
  const file = el("input", { type: "file", accept: "image/jpeg,image/png,image/webp,image/bmp", onchange() {
    if (file.files.length) search(() => file.files[0]);
  } });
  const now = el("button", { type: "button", onclick: () => search(latest) }, "Like what is shown now");
  const words = el("input", { type: "search", maxLength: 300, placeholder: "a red van" });
  const showing = el("form", { class: "showing", hidden: true, onsubmit(event) {
    event.preventDefault();
    if (words.value.trim()) search(null, { text: words.value.trim() });
  } }, el("label", {}, "Showing ", words), el("button", { type: "submit" }, "Find"));
  const span = el("select", {}, ...SPANS.map(([name], at) => el("option", { value: at }, name)));
  const spans = el("label", {}, "Of ", span);
  const about = el("p", { class: "basis", role: "status" });
  const grid = el("ol", { class: "found" });
  const element = el("section", { class: "panel wide", hidden: true, "aria-label": "Find" },
    el("h3", {}, "Find moments"),
    el("div", { class: "finder" }, showing, el("label", {}, "Like this picture ", file), now, spans),
    about, grid);
  let asked = 0;
  let model = null;

  const latest = async () => {
    const answer = await fetch(address(streamPath(id, "/preview.jpg"), { map: false }), { cache: "no-store" });
    if (!answer.ok) throw new Refused(answer.status, { detail: "there is no picture of the stream now; choose a file" });
    return answer.blob();
  };

  // Only some models compare texts with pictures.
  const offer = async () => {
    const ways = await ask("GET", streamPath(id, "/find")).catch(() => ({ text: false }));
    showing.hidden = !ways.text;
  };

  const search = async (picture, more = {}) => {
    const turn = ++asked;
    write(about, "Searching …");
    const back = spans.hidden ? null : SPANS[span.value][1];
    const query = { top: TOP, ...(back ? { since: serverNow() - back } : {}), ...more };
    try {
      const { kept, moments } = await ask("POST", `${streamPath(id, "/find")}?${new URLSearchParams(query)}`, await picture?.());
      if (turn !== asked) return;
      grid.replaceChildren(...moments.map(moment));
      write(about, moments.length ? `The ${moments.length} most alike of ${number(kept)} moments kept.` : `Nothing found among ${number(kept)} moments kept.`);
    } catch (error) {
      if (turn !== asked) return;
      grid.replaceChildren();
      write(about, error.message);
    }
  };

  return {
    element,
    update({ settings }, live) {
      element.hidden = !settings.history;
      if (settings.history && settings.model !== model) {
        model = settings.model;
        offer();
      }
      // A file has no wall clock.
      spans.hidden = !live;
    },
  };
}

function moment({ frame, pts_s: pts, captured_at: at, score, jpeg }) {
  const when = at === null ? `${pts === null ? `frame ${frame}` : `${pts.toFixed(2)} s`}` : new Date(at * 1000).toLocaleString();
  const label = `Frame ${frame}`;
  const picture = jpeg ? shown(jpeg, label) : el("canvas", { role: "img", "aria-label": label });
  return el("li", { "data-frame": frame }, picture, el("span", {}, when), el("span", { class: "link" }, `alike ${score.toFixed(2)}`));
}
