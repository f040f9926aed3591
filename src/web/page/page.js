// Asks for the snapshot each second and shows it; says so when nobody answers, and goes on when somebody does.

import { Curve } from "./curves.js";
import { bits, clock, count, drawn, element, look, milliseconds, percent, span } from "./words.js";

const INTERVAL_MS = 1000;
/** Who does not answer within this time is gone. */
const PATIENCE_MS = 2500;
const POINT_S = 5;
const HISTORY_S = 900;

const at = (id) => document.getElementById(id);
const view = { snapshot: null, history: null, peer: null, chosen: null, answered: null, drawn: {} };

const curves = {
  rtt_ms: new Curve("Round trip", milliseconds, { wide: true, least: 1 }),
  loss_received: new Curve("Loss of what comes", percent, { least: 0.01, most: 1 }),
  loss_sent: new Curve("Loss of what is sent", percent, { least: 0.01, most: 1 }),
  octets_received_per_s: new Curve("Rate of what comes", bits, { least: 125 }),
  octets_sent_per_s: new Curve("Rate of what is sent", bits, { least: 125 }),
};
at("curves").append(...Object.values(curves).map((curve) => curve.figure));

/** A path of the snapshot in the columns of the history. */
const LIVE = {
  rtt_ms: (path) => (isUp(path) && path.rtt ? path.rtt.smoothed_ms : null),
  loss_received: (path) => path.loss_received.last_10s,
  loss_sent: (path) => path.loss_sent.last_10s,
  octets_received_per_s: (path) => path.rate_received.octets_per_s,
  octets_sent_per_s: (path) => path.rate_sent.octets_per_s,
};

const STATUS = {
  up: ["●", "up", "Works"],
  lossy: ["▲", "lossy", "Works, but has lost more than 1 % in the last 10 s"],
  silent: ["■", "silent", "Nothing is heard over it"],
  late: ["◆", "late", "Its last probes are missing: most likely it has died"],
  probing: ["○", "probing", "Nothing was heard over it yet"],
  resolving: ["○", "resolving", "Its name has no address yet"],
};

function isUp(path) {
  return path.status === "up" || path.status === "lossy";
}

async function ask(path) {
  const answer = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS) });
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return answer.json();
}

async function turn() {
  try {
    const snapshot = await ask("/snapshot.json");
    const before = view.snapshot;
    view.snapshot = snapshot;
    view.answered = Date.now();
    const newest = view.history?.at_s.at(-1) ?? -Infinity;
    const missed = snapshot.uptime_s - newest;
    const restarted = before !== null && snapshot.uptime_s < before.uptime_s;
    if (restarted || missed < 0 || missed > 3 * POINT_S || view.history === null) {
      view.history = await ask("/history.json");
    } else if (missed >= POINT_S) {
      remember(snapshot);
    }
    at("gone").hidden = true;
    document.body.classList.remove("stale");
    show();
  } catch (error) {
    const since = view.answered === null ? "" : ` since ${clock((Date.now() - view.answered) / 1000)}`;
    const name = view.snapshot?.program ?? "The program";
    at("gone").textContent = `${name} does not answer${since}. What is shown is from then; this page goes on when it is back.`;
    at("gone").hidden = false;
    document.body.classList.add("stale");
    document.title = `✕ ${name}`;
    if (!(error instanceof TypeError) && error.name !== "TimeoutError") console.error(error);
  }
  setTimeout(turn, INTERVAL_MS);
}

/** Adds a point to the history, as the program does. */
function remember(snapshot) {
  const { history } = view;
  const length = history.at_s.length;
  const column = () => new Array(length).fill(null);
  for (const peer of snapshot.peers) {
    if (!history.peers.some((known) => known.peer === peer.number)) {
      history.peers.push({ peer: peer.number, loss_received: column() });
    }
    for (const path of peer.paths) {
      if (history.paths.some((known) => known.peer === peer.number && known.path === path.number)) continue;
      const columns = Object.fromEntries(Object.keys(LIVE).map((key) => [key, column()]));
      history.paths.push({ peer: peer.number, path: path.number, bridge: path.bridge, ...columns });
    }
  }
  history.at_s.push(snapshot.uptime_s);
  for (const known of history.peers) {
    const peer = snapshot.peers.find((peer) => peer.number === known.peer);
    known.loss_received.push(peer?.received.loss.last_10s ?? null);
  }
  for (const known of history.paths) {
    const path = snapshot.peers.find((peer) => peer.number === known.peer)?.paths.find((path) => path.number === known.path);
    for (const [key, value] of Object.entries(LIVE)) known[key].push(path ? value(path) : null);
  }
  while (history.at_s[0] < snapshot.uptime_s - HISTORY_S - POINT_S) {
    history.at_s.shift();
    history.peers.forEach((known) => known.loss_received.shift());
    history.paths.forEach((known) => Object.keys(LIVE).forEach((key) => known[key].shift()));
  }
}

function show() {
  const { snapshot } = view;
  at("main").hidden = false;
  at("program").textContent = snapshot.program;
  at("version").textContent = `mptunnel ${snapshot.version}`;
  const target = snapshot.target === null ? "" : `, target ${snapshot.target}`;
  const key = snapshot.key ? "with a key" : "without a key";
  const mode = snapshot.encryption ? `encrypted ${key}` : `not encrypted, ${key}`;
  at("what").textContent = `listens on ${snapshot.listen}${target} · ${mode} · has run for ${span(snapshot.uptime_s)}`;
  const peer = choosePeer();
  const paths = peer?.paths ?? [];
  const up = paths.filter(isUp).length;
  const connected = peer !== null && peer.session_age_s !== null && up > 0;
  const words = connected ? `${up} of ${paths.length} ${paths.length === 1 ? "path" : "paths"} up`
    : peer === null ? "no client" : "not connected";
  const grade = !connected ? "bad" : up < paths.length ? "some" : "good";
  at("state").className = `state ${grade}`;
  at("state").textContent = words;
  document.title = `${{ good: "●", some: "▲", bad: "■" }[grade]} ${words} – ${snapshot.program}`;
  showFigures(peer);
  showPaths(paths);
  showPairs(peer);
  showEvents(peer);
  drawCurves(peer);
}

/** The peer that is shown; where there are several, the user chooses. */
function choosePeer() {
  const { peers } = view.snapshot;
  at("peers").hidden = peers.length < 2;
  const names = peers.map((peer) => `${peer.number}${peer.name ? ` ${peer.name}` : ""}: ${peer.paths.map((path) => path.bridge)[0] ?? ""}`);
  anew("peer", names, () => names.map((name, index) => element("option", { value: peers[index].number }, name)));
  const chosen = peers.find((peer) => peer.number === view.peer) ?? peers[0] ?? null;
  view.peer = chosen?.number ?? null;
  if (chosen) at("peer").value = String(chosen.number);
  return chosen;
}

/** Makes an element's children anew if what they show has changed, so that what is chosen or read stays. */
function anew(id, shown, make) {
  const key = JSON.stringify(shown);
  if (view.drawn[id] === key) return;
  view.drawn[id] = key;
  const focused = document.activeElement?.dataset?.path;
  at(id).replaceChildren(...make());
  if (focused !== undefined) at(id).querySelector(`[data-path="${focused}"]`)?.focus();
}

function showFigures(peer) {
  const { counters } = view.snapshot;
  const figures = peer === null ? [] : [
    ["Lost in the tunnel", percent(peer.received.loss.last_5min),
      `of what comes in the last 5 minutes; of what is sent, ${percent(peer.sent.loss_last_5min)}`],
    ["Saved by it", count(peer.received.recovered),
      `of ${count(peer.received.datagrams)} datagrams were lost on one path and came over another; ${count(peer.received.lost)} came over none`],
    ["Datagrams", `↓\u00a0${count(counters.datagrams_received)}  ↑\u00a0${count(counters.datagrams_sent)}`,
      "that came (↓) and were sent (↑) since the start"],
    ["Applications", count(peer.flows), `at the moment, ${count(peer.max_flows)} at most; copies: ${peer.copies}`],
  ];
  anew("figures", figures, () => figures.map(([title, value, more]) =>
    element("div", {}, element("h3", {}, title), element("strong", {}, value), element("p", { class: "quiet" }, more))));
}

function swatch(number) {
  const { colour, dash } = look(number);
  return drawn("svg", { class: "swatch", viewBox: "0 0 30 10", "aria-hidden": "true" },
    drawn("path", { d: "M1 5h28", class: `line c${colour}`, "stroke-dasharray": dash || null }));
}

function showPaths(paths) {
  // What is not shown may change each second.
  const shown = paths.map((path) => ({ ...path, unanswered: 0, overdue: 0, copies: 0, octets: 0, copies_sent: 0, octets_sent: 0, tried: 0 }));
  anew("paths", [shown, view.chosen], () => paths.map((path) => {
    const { status } = path;
    const [mark, word, meaning] = STATUS[status] ?? ["?", status, ""];
    const fact = (title, value, more = null) => element("div", { class: "fact" }, element("dt", {}, title),
      element("dd", {}, value, more === null ? null : element("small", {}, more)));
    const share = path.first_share === null ? "–" : percent(path.first_share);
    const role = path.state === "backup" ? (path.chosen ? "backup, helps" : "backup") : path.chosen || !isUp(path) ? null : "not in use now";
    const jitter = path.jitter_received_ms === null ? null : `± ${milliseconds(path.jitter_received_ms)}`;
    return element("button", {
      type: "button", class: `path ${status}`, "data-path": path.number, "aria-pressed": String(view.chosen === path.number),
    },
      element("span", { class: "name" }, swatch(path.number), element("b", {}, String(path.number)),
        element("span", { class: "bridge" }, path.interface ? `${path.bridge} over ${path.interface}` : path.bridge,
          role === null ? null : element("small", {}, role)),
        element("span", { class: `status ${status}`, title: meaning }, `${mark} ${word}`)),
      element("dl", {},
        fact("Round trip", milliseconds(path.rtt?.smoothed_ms), jitter),
        fact("Loss ↓", percent(path.loss_received.last_10s), `5 min ${percent(path.loss_received.last_5min)}`),
        fact("Loss ↑", percent(path.loss_sent.last_10s), `5 min ${percent(path.loss_sent.last_5min)}`),
        fact("Rate", `↓\u00a0${bits(path.rate_received.octets_per_s)}`, `↑\u00a0${bits(path.rate_sent.octets_per_s)}`),
        fact("Came first", share, `${milliseconds(path.lateness_ms)} behind`),
        fact("Saved alone", count(path.saved), path.saved === 1 ? "datagram" : "datagrams")));
  }));
}

function showPairs(peer) {
  const pairs = peer?.pairs ?? [];
  anew("pairs", pairs, () => pairs.map(({ paths: [a, b], correlation }) =>
    element("li", {}, `Paths ${a} and ${b} lose together (correlation ${correlation.toFixed(2)}): they may share a line.`)));
}

/** Those of the peer that is shown, with those of its processes before, and those about nobody in particular; or all. */
function eventsOf(peer) {
  const { events, peers } = view.snapshot;
  const several = peers.length > 1;
  at("whose").hidden = !several;
  if (!several || at("everybody").checked) return events;
  return events.filter((event) => event.peer_gone
    ? peer.name !== null && event.peer_name === peer.name
    : event.peer === null || event.peer === peer.number);
}

function showEvents(peer) {
  const events = eventsOf(peer).slice(-30).reverse();
  anew("events", events.map((event) => event.number), () => events.length === 0
    ? [element("li", { class: "quiet" }, "Nothing has happened yet.")]
    : events.map((event) => element("li", { class: event.kind },
      element("time", {}, clock(event.ago_s)), element("span", {}, event.text))));
}

function drawCurves(peer) {
  const { history, snapshot } = view;
  const now = snapshot.uptime_s;
  for (const [key, curve] of Object.entries(curves)) {
    const lines = history.paths.filter((known) => known.peer === view.peer).map((known) => {
      const path = peer?.paths.find((path) => path.number === known.path);
      const points = known[key].map((value, index) => [now - history.at_s[index], value]);
      points.push([0, path ? LIVE[key](path) : null]);
      return { number: known.path, name: known.bridge, points };
    });
    const total = history.peers.find((known) => known.peer === view.peer);
    if (key === "loss_received" && total) {
      const points = total.loss_received.map((value, index) => [now - history.at_s[index], value]);
      points.push([0, peer?.received.loss.last_10s ?? null]);
      lines.push({ number: null, name: "the tunnel", points, total: true });
    }
    // Only mpclient measures round trips.
    curve.figure.hidden = key === "rtt_ms" && snapshot.program !== "mpclient";
    curve.draw(lines, view.chosen, "Nothing is known yet.");
  }
}

at("paths").addEventListener("click", (event) => {
  const path = event.target.closest("[data-path]");
  if (!path) return;
  const number = Number(path.dataset.path);
  view.chosen = view.chosen === number ? null : number;
  show();
});
at("peer").addEventListener("change", () => {
  view.peer = Number(at("peer").value);
  view.chosen = null;
  show();
});
at("everybody").addEventListener("change", show);
addEventListener("resize", () => Object.values(curves).forEach((curve) => curve.redraw()));
turn();
