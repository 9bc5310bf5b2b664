// The page: which view is shown, and what is said above it.

import { whenLocked } from "./api.js";
import { follow, linkToTable } from "./bill.js";
import { askForToken, askToAdd } from "./dialogs.js";
import { write } from "./dom.js";
import { duration, number } from "./format.js";
import { Streams } from "./streams.js";
import { streamView } from "./stream.js";
import { load } from "./tokenizers.js";
import { wall } from "./wall.js";

const TOLD_AFTER_S = 4;

const main = document.getElementById("main");
const banner = document.getElementById("banner");
const streams = new Streams(update);
let view = null;

function route() {
  view?.close();
  view = null;
  if (streams.known) show();
}

function show() {
  const stream = /^#\/streams\/(.+)$/.exec(location.hash);
  streams.watched = stream ? decodeURIComponent(stream[1]) : null;
  view = stream ? streamView(streams.watched, streams) : wall(streams);
  document.title = `${view.title} · vwt-stream`;
  main.replaceChildren(view.element);
  view.update();
}

function update() {
  const stale = streams.awayFor > TOLD_AFTER_S;
  document.body.classList.toggle("stale", stale);
  write(document.getElementById("summary"), summary());
  tell(stale);
  if (!streams.known) return;
  redraw();
  follow(redraw);
}

function redraw() {
  if (view) view.update();
  else show();
}

function summary() {
  if (!streams.known) return "";
  const all = [...streams.all.values()];
  const count = (state) => all.filter((one) => one.shownState === state).length;
  const wrong = ["degraded", "stale", "reconnecting", "failed"].filter(count).map((state) => `${count(state)} ${state}`);
  const frames = all.reduce((sum, one) => sum + (one.status.state === "running" ? one.status.fps ?? 0 : 0), 0);
  return [`${count("running")} of ${all.length} running`, ...wrong, `${number(frames)} frames/s`].join(" · ");
}

function tell(stale) {
  const { problem } = streams;
  const shown = problem && problem.status !== 401 && (stale || streams.awayFor === 0 || !streams.known);
  banner.hidden = !shown;
  if (!shown) return;
  const since = streams.known && stale ? ` What is shown is ${duration(streams.awayFor)} old.` : "";
  write(banner, `${problem.message[0].toUpperCase()}${problem.message.slice(1)}; trying again.${since}`);
}

linkToTable(document.getElementById("bill"));
document.getElementById("add").addEventListener("click", () => askToAdd(streams));
window.addEventListener("hashchange", () => {
  route();
  main.focus({ preventScroll: true });
  scrollTo(0, 0);
});
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) streams.refresh();
});
whenLocked((why) => askForToken(why, () => streams.refresh()));
load().catch(() => {});
streams.refresh();
