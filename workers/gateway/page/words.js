// The visual words of a stream: how well they cover what it sees, and their picture.

import { address, ask, serverNow, streamPath } from "./api.js";
import { chart } from "./chart.js";
import { el, write } from "./dom.js";
import { duration, number, percent } from "./format.js";

const EVERY_MS = 30_000;
// Results of a version come a moment before or after it is the current one.
const UNTIL_IT_FITS_MS = 5000;

/** The panel; returns the element, `update(view)` and `close()`. It hides while the stream has no words. */
export function words(id) {
  const title = el("h3");
  const about = el("p", { class: "basis" });
  const picture = el("img");
  const whole = el("a", { target: "_blank", hidden: true }, picture);
  const covered = chart("Patches within the threshold of a word", percent, {
    hover: "%{y:.1%}", x: { type: "date", hoverformat: "%H:%M:%S" },
    y: { range: [0, 1.08], tickvals: [0, 0.5, 1], tickformat: ".0%" },
  });
  const element = el("section", { class: "panel words", hidden: true, "aria-label": "Words" },
    title, about, covered.element, whole);
  let version = null;
  let askedAt = -Infinity;
  let open = true;

  const show = async () => {
    askedAt = performance.now();
    let found;
    try {
      found = await ask("GET", streamPath(id, "/words"));
    } catch {
      // Asked for again; what is wrong with the service the page says above.
      return;
    }
    if (!open) return;
    element.hidden = false;
    const usage = found.usage ? `, ${number(found.usage.unused)} of them without a patch` : "";
    const published = found.versions.find((one) => one.current)?.published_at;
    const age = published ? `, learned ${duration(serverNow() - published)} ago` : "";
    write(title, `Words (version ${found.version})`);
    write(about, `${number(found.words)} words of ${found.patch_size}×${found.patch_size} pixels${usage}${age}.`);
    const records = found.coverage;
    covered.element.hidden = records.length === 0;
    if (records.length) {
      covered.set(records.map(({ at }) => new Date(at * 1000)), [{ name: "", values: records.map(({ matched }) => matched) }]);
    }
    if (version === found.version) return;
    const fresh = address(streamPath(id, "/words.png"), { version: found.version });
    picture.src = whole.href = fresh;
    picture.alt = `All ${found.words} words of version ${found.version}, the most used first`;
    picture.onload = () => { whole.hidden = false; };
    // The picture of another version, or none, is taken next time.
    picture.onerror = () => { version = null; };
    version = found.version;
  };

  return {
    element,
    update({ status: { vocab_version: newest } }) {
      element.hidden = newest === null || version === null;
      const wait = newest === version ? EVERY_MS : UNTIL_IT_FITS_MS;
      if (newest !== null && !document.hidden && performance.now() > askedAt + wait) show();
    },
    close() {
      open = false;
      covered.close();
    },
  };
}
