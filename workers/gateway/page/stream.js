// One stream: its picture, its figures as lines, its latest predictions.

import { actions } from "./actions.js";
import { streamPath } from "./api.js";
import { bill } from "./bill.js";
import { classes } from "./classes.js";
import { askToChange } from "./dialogs.js";
import { badge, el, figures, write } from "./dom.js";
import { fidelity } from "./fidelity.js";
import { finder } from "./find.js";
import { bytes, joules, milliseconds, number, percent, said, UNKNOWN } from "./format.js";
import { lately, share } from "./lately.js";
import { Preview } from "./preview.js";
import { rules } from "./rules.js";
import { saving } from "./saving.js";
import { stage } from "./stage.js";
import { steadyShare } from "./streams.js";
import { decided, predicted } from "./summary.js";
import { Tail } from "./tail.js";
import { timeline } from "./timeline.js";
import { described, wantsWords } from "./tokenizers.js";
import { reason } from "./wall.js";
import { words } from "./words.js";
import { zones } from "./zones.js";

const DRAW_MS = 1000;
// What comes within so long is drawn together.
const GATHER_MS = 100;
const SHOWN = 15;
const COLUMNS = ["Frame", "Time", "Prediction", "Tokens", "Energy", "Latency"];
const FACTS = [
  "Model", "Frames/s", "Vocabulary", "Tokenizer", "Results", "Warm-up", "Tokens kept since", "Decided", "Recalls from", "Energy so far",
  "Reads", "Predicts", "Taken over", "Labels",
];

// Where weights are from that nothing was learned with.
const UNTRAINED = "random";

/** The view of a stream; returns the element, `update()` and `close()`. */
export function streamView(id, streams) {
  const state = badge();
  const why = el("p", { class: "reason" });
  const link = el("p", { class: "link" });
  const preview = new Preview(id);
  const map = el("input", { type: "checkbox", checked: true, onchange() {
    preview.map = map.checked;
    preview.again();
  } });
  const picture = stage(preview);
  const drawn = zones(id, picture);
  const names = classes(id, picture);
  const told = rules(id, streams, drawn);
  const lines = lately();
  const facts = figures(FACTS, "facts");
  const drops = el("ul", { class: "drops" });
  const worth = fidelity();
  const savings = saving();
  const costs = bill();
  const sheet = words(id);
  const events = timeline(streamPath(id, "/events"));
  const found = finder(id);
  const rows = el("tbody");
  const seen = el("p", { class: "basis" });
  const buttons = actions(id, streams);
  const change = el("button", { type: "button", onclick: () => askToChange(streams.all.get(id), streams) }, "Change");
  change.setAttribute("aria-label", `Change ${id}`);
  buttons.shown.prepend(change);
  const sinks = el("ul", { class: "sinks" });
  const element = el("article", { class: "stream", "data-stream": id },
    el("p", {}, el("a", { href: "#/" }, "← All streams")),
    el("div", { class: "head" }, el("h2", {}, id), state.shown, buttons.shown), why,
    el("div", { class: "columns" },
      el("div", { class: "stack" },
        el("section", { class: "panel", "aria-label": "Picture" }, picture.element,
          el("label", { class: "check" }, map, "token map: hatched patches were merged or dropped, dark ones recalled, the others computed")),
        drawn.element, names.element, told.element, sheet.element),
      el("div", { class: "stack" }, lines.element, worth.element),
      el("div", { class: "stack" },
        el("section", { class: "panel", "aria-label": "Figures" }, facts.list, el("h3", {}, "Frames dropped"), drops,
          el("h3", {}, "Delivers to"), sinks),
        savings.element, costs.element),
      events.element,
      found.element,
      el("section", { class: "panel wide", "aria-label": "Predictions" },
        el("div", { class: "head" }, el("h3", {}, "Latest predictions"), link), seen,
        el("div", { class: "scroll", tabIndex: 0, role: "region", "aria-label": "Latest predictions" },
          el("table", {}, el("thead", {}, el("tr", {}, ...COLUMNS.map((name) => el("th", { scope: "col" }, name)))), rows)))));
  let tail = null;
  let createdAt = null;
  let timer = 0;
  let drawnAt = -Infinity;

  const draw = () => {
    timer = 0;
    drawnAt = performance.now();
    const results = [...tail.results.values()];
    lines.set(results, streams.all.get(id)?.status.fps);
    savings.lately(results);
    drawn.tell(results.at(-1));
    write(seen, predicted(results));
    rows.replaceChildren(...results.slice(-SHOWN).reverse().map(row));
    element.dataset.newest = results.at(-1)?.frame ?? "";
    const words = { live: "live", connecting: "connecting …", gone: "the stream was removed" }[tail.state];
    write(link, [words, ...tail.gaps.slice(-1)].join("; "));
  };
  const later = () => {
    if (!document.hidden) timer ||= setTimeout(draw, Math.max(GATHER_MS, drawnAt + DRAW_MS - performance.now()));
  };
  const back = () => { if (tail) later(); };
  document.addEventListener("visibilitychange", back);

  return {
    element,
    title: id,
    update() {
      const view = streams.all.get(id);
      if (!view) {
        state.set("gone");
        preview.show(false);
        write(why, "There is no stream of that name; it may have been removed.");
        return;
      }
      if (createdAt !== view.created_at) {
        // Another stream of the same name is followed from its own beginning.
        tail?.close();
        tail = new Tail(id, view.status, later);
        createdAt = view.created_at;
      }
      state.set(view.shownState);
      element.dataset.state = view.shownState;
      write(why, [reason(view), view.source].filter((text, at, all) => all.indexOf(text) === at).join(" · "));
      preview.show(view.status.state === "running");
      facts.set(factsOf(view));
      listed(drops, dropped(view.status.dropped));
      listed(sinks, view.sinks.map(delivery));
      worth.update(view);
      savings.update(view);
      costs.update(view);
      sheet.update(view);
      found.update(view, [...tail.results.values()].at(-1)?.captured_at != null);
      drawn.update(view);
      names.update(view);
      told.update(view);
      buttons.update(view);
    },
    close() {
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", back);
      lines.close();
      events.close();
      sheet.close();
      drawn.close();
      names.close();
      picture.close();
      tail?.close();
      preview.close();
    },
  };
}

/** The share of its tokens that a frame kept; of a stream that recalls also how it was answered, or how old a held answer is. */
function tokens(result) {
  const { decision, held_ms: age } = result;
  if (typeof age === "number") return `${decision}, ${milliseconds(age)} old`;
  return decision ? `${percent(share(result))}, ${decision}` : percent(share(result));
}

function row(result) {
  const { frame, pts_s: pts, energy, latency_ms: took } = result;
  const texts = [
    pts === null || pts === undefined ? UNKNOWN : `${pts.toFixed(2)} s`, said(result), tokens(result),
    joules(energy?.joules), milliseconds(took?.total),
  ];
  return el("tr", {}, el("th", { scope: "row" }, `${frame}`), ...texts.map((text) => el("td", {}, text)));
}

function factsOf({ settings, status, labels }) {
  const learning = wantsWords(settings.tokenizer) && status.vocab_version === null;
  const energy = status.joules === null ? UNKNOWN : `${joules(status.joules)} (${status.energy_method})`;
  const vocabulary = learning ? "being learned" : `version ${status.vocab_version}`;
  return [
    modelOf(settings) + (status.weights === UNTRAINED ? ", random weights: predictions mean nothing" : ""), status.state === "running" ? number(status.fps) : UNKNOWN,
    wantsWords(settings.tokenizer) ? vocabulary : UNKNOWN, settings.tokenizer ? described(settings) : UNKNOWN,
    number(status.next_frame), warmUp(status), percent(steadyShare(status)), decided(status.decisions) || UNKNOWN, recallsFrom(status), energy,
    worker(status.ingest), worker(status.inference), ["never", "once"][status.restarts] ?? `${status.restarts} times`,
    Object.entries(labels).map((pair) => pair.join("=")).join(", ") || UNKNOWN,
  ];
}

function warmUp({ warm_up_frames: frames }) {
  return frames ? `${number(frames)} frames in full until there were words` : "none";
}

function recallsFrom({ recall_bytes: kept }) {
  return kept ? bytes(kept) : UNKNOWN;
}

function modelOf({ model, fit, size }) {
  return [model, fit, size].filter(Boolean).join(", ");
}

function worker(who) {
  // Enough of the name of a node to tell it from others.
  return who ? `pid ${who.pid}, ${who.node.slice(0, 8)}` : "nobody";
}

function dropped(counts) {
  return Object.entries(counts).filter(([, count]) => count > 0).map(([name, count]) => `${name}: ${number(count)}`);
}

function delivery({ name, to, delivered, lag, lost, error }) {
  const state = delivered === null ? "not yet begun" : `${number(lag)} waiting`;
  return [`${name}: ${to}, ${state}`, lost ? `${number(lost)} lost` : "", error ?? ""].filter(Boolean).join("; ");
}

function listed(list, found) {
  const texts = found.length ? found : ["none"];
  if (texts.join() !== [...list.children].map((item) => item.textContent).join()) {
    list.replaceChildren(...texts.map((text) => el("li", {}, text)));
  }
}
