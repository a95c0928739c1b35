// The page of one node: it asks GET /v1/view for what there is, and GET /v1/events says when to ask again.
"use strict";

const REFRESH_MS = 5000; // also when nothing was told: times run on, and limits refill by themselves
const GATHER_MS = 250; // changes that come together are read together
const PATIENCE_MS = 4000; // a node that does not answer for so long is lost
const ROWS = 50;

// ---- making elements: text goes in as text, never as markup

function el(name, attributes, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) {
    if (value === false || value === undefined) continue;
    node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
  return node;
}
const span = (cls, ...children) => el("span", { class: cls }, ...children);
const name = (text) => span("name", text === "" ? "(none)" : text);
const tag = (text, state) => el("span", { class: "tag", "data-state": state }, text);
const count = (n) => Number(n).toLocaleString("en");
const plural = (n, one, many) => `${count(n)} ${n === 1 ? one : many}`;

function duration(ms) {
  const s = Math.max(0, Math.floor(ms / 1000));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} m ${s % 60} s`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} m`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}

// A time that goes on by itself: since when, or until when, by this browser's clock.
function ticking(from, direction) {
  const node = span("still");
  node.dataset.from = from;
  node.dataset.direction = direction;
  turn(node, Date.now());
  return node;
}
const age = (ms) => ticking(Date.now() - ms, 1);
const left = (ms) => ticking(Date.now() + ms, -1);
function turn(node, now) {
  const text = duration((now - Number(node.dataset.from)) * Number(node.dataset.direction));
  if (node.textContent !== text) node.textContent = text;
}

// ---- locks: who holds, who waits

// Names of contenders are long: a random part of the client's, the recipe's word, and the number in line.
function contender(text) {
  const parts = /^(.*?)(\d{10,})$/.exec(text);
  if (!parts || text.length < 24) return name(text);
  return el("span", { class: "name", title: text }, `${parts[1].replace(/^_c_/, "").slice(0, 8)}… #${BigInt(parts[2])}`);
}
function claim(one) {
  const facts = [];
  if (one.session) facts.push(`session ${one.session}`);
  if (one.permits > 1) facts.push(plural(one.permits, "permit", "permits"));
  if (one.token) facts.push(`token ${one.token}`);
  if (one.holds > 1) facts.push(`${one.holds} holds`);
  const soft = span("soft still", age(one.for_ms), facts.length ? " · " : "", facts.join(" · "), one.due_in_ms ? "," : "");
  const due = one.due_in_ms ? [" ", span("soft still", one.token ? "ends in " : "gives up in ", left(one.due_in_ms))] : [];
  return el("li", {}, contender(one.owner || (one.session ? `session ${one.session}` : "")), " ", soft, ...due);
}
const holds = (row, one) => (row.source === "native" ? one.token > 0 : one.holds > 0);
function holders(row) {
  const list = row.claims.filter((one) => holds(row, one)).map(claim);
  if (list.length === 0) return span("soft", "nobody");
  const more = row.holders > list.length ? [el("li", { class: "soft" }, `and ${count(row.holders - list.length)} more`)] : [];
  return el("ul", { class: "claims" }, ...list, ...more);
}
function waiters(row) {
  const list = row.claims.filter((one) => !holds(row, one)).map(claim);
  if (row.waiters === 0) return span("soft", "nobody");
  const more = row.waiters - list.length;
  const rest = more > 0 ? [el("p", { class: "soft" }, `and ${count(more)} more${row.cut ? " at least" : ""}`)] : [];
  if (list.length === 1 && more === 0) return el("ul", { class: "claims" }, ...list);
  return el("details", {}, el("summary", {}, plural(row.waiters, "waits", "wait")), el("ol", { class: "claims" }, ...list), ...rest);
}

// A native lock that is shared is of the kind that can also be held alone: who holds it says how it is held now.
function kind(row) {
  if (row.mode === "permits") return `permits, ${count(row.total)} in all`;
  return row.mode === "exclusive" && row.claims.some((one) => one.mode === "shared" && holds(row, one)) ? "shared" : row.mode;
}

function meter(row) {
  const used = Math.max(0, row.limit - row.remaining);
  return span("still", el("progress", { max: row.limit || 1, value: used, "aria-hidden": "true" }), `${count(row.remaining)} of ${count(row.limit)} left`);
}
function rate(row) {
  if (row.algorithm === "concurrency") return `${count(row.rate)} at once`;
  const window = row.window_ms < 1000 ? `${row.window_ms} ms` : duration(row.window_ms).replace(/ 0 .$/, "");
  return `${count(row.rate)} in ${window}${row.burst && row.burst !== row.rate ? `, ${count(row.burst)} at once` : ""}`;
}
function hotKeys(row) {
  if (row.hot_keys.length === 0) return span("soft", "none");
  const one = (key) =>
    el("li", {}, name(key.key || "(no key)"), ` ×${count(key.depth)} `, span("soft still", "oldest ", age(key.oldest_ms), key.session ? ` · with session ${key.session}` : key.token ? " · claimed" : ""));
  return el("ul", { class: "claims" }, ...row.hot_keys.map(one));
}

// ---- topics, services, configuration, sequences

// 0, 1, 2, 5 as 0–2, 5
function ranges(numbers) {
  const parts = [];
  for (let i = 0, from = 0; i < numbers.length; i++) {
    if (numbers[i + 1] === numbers[i] + 1) continue;
    parts.push(from === i ? `${numbers[i]}` : `${numbers[from]}–${numbers[i]}`);
    from = i + 1;
  }
  return parts.join(", ");
}
function reader(one) {
  const more = one.count > one.partitions.length ? ` and ${count(one.count - one.partitions.length)} more` : "";
  return el("li", {}, name(one.member), span("soft", ` reads ${ranges(one.partitions)}${more}`), ...(one.leaves ? [" ", tag("hands over", "warn")] : []));
}
function group(one) {
  const lag = one.lag > 0 ? `${count(one.lag)} behind` : "nothing behind";
  const facts = span("soft still", [lag, one.strategy, plural(one.member_count, "member", "members")].join(" · "));
  const idle = one.idle ? [" ", tag(`${plural(one.idle, "partition", "partitions")} unread`, "warn")] : [];
  const head = [name(one.name), " ", facts, ...idle];
  if (one.readers.length === 0) return el("li", {}, ...head);
  return el("li", {}, el("details", {}, el("summary", {}, ...head), el("ul", { class: "claims" }, ...one.readers.map(reader))));
}
function groups(row) {
  if (row.group_count === 0) return span("soft", "none");
  if (row.cut) return span("soft", plural(row.group_count, "group", "groups"), ": ask parley topic show");
  const rest = row.group_count - row.groups.length;
  const more = rest > 0 ? [el("li", { class: "soft" }, `and ${plural(rest, "group", "groups")} more`)] : [];
  return el("ul", { class: "claims" }, ...row.groups.map(group), ...more);
}
const healths = { passing: "good", failing: "bad", unknown: undefined };
function instances(row) {
  const one = (at) =>
    el("li", {}, tag(at.draining ? "draining" : at.health, at.draining ? "warn" : healths[at.health]), " ", name(at.id), " ",
      ...[at.address, at.zone && `zone ${at.zone}`, at.session && `session ${at.session}`].filter(Boolean)
        .flatMap((fact, i, all) => [span("soft still", fact, i + 1 < all.length ? " ·" : ""), " "]));
  const rest = row.instances - row.shown.length;
  const more = rest > 0 ? [el("li", { class: "soft" }, `and ${count(rest)} more`)] : [];
  if (row.instances === 1) return el("ul", { class: "claims" }, ...row.shown.map(one));
  return el("details", {}, el("summary", {}, plural(row.instances, "instance", "instances")), el("ul", { class: "claims" }, ...row.shown.map(one), ...more));
}
function health(row) {
  const rest = row.instances - row.ready - row.failing;
  const parts = [tag(`${count(row.ready)} ready`, row.ready ? "good" : "bad")];
  if (row.failing) parts.push(" ", tag(`${count(row.failing)} failing`, "bad"));
  if (rest > 0) parts.push(" ", tag(`${count(rest)} other`));
  return parts;
}
function release(row) {
  if (!row.gradual) return span("soft", row.version ? "all have it" : "nothing yet");
  const who = [row.labels.length ? row.labels.join(", ") : "", row.percent < 100 || !row.labels.length ? `${row.percent} %` : ""].filter(Boolean);
  return [tag(`version ${row.gradual}`, "accent"), " ", span("soft", "for ", who.join(" · "))];
}

const zero = (n, cls) => span(n ? cls || "" : "soft", count(n));
const keyStates = { running: ["running", "accent"], stored: ["stored", "good"], free: ["free", undefined] };

// ---- the panels: one row each. A column: title, what stands in the cell, class.

const PANELS = [
  {
    topic: "members", title: "Members", place: "left", empty: "The cluster is not formed yet.",
    key: (row) => row.id,
    columns: [
      ["Node", (row) => ["node ", String(row.id), row.self ? " " : "", row.self ? tag("this node") : ""]],
      ["Role", (row) => (row.leader ? tag("leader", "accent") : row.role === "voter" ? "follower" : row.role)],
      ["Link", (row) => (row.self ? span("soft", "itself") : row.connected ? tag("connected", "good") : tag("not connected", "bad"))],
      ["Behind", (row) => (row.lag === undefined ? el("span", { class: "soft", title: "the leader knows" }, "–") : zero(row.lag)), "number minor"],
      ["Its page", (row) => (row.addresses.http && !row.self ? el("a", { href: `${location.protocol}//${row.addresses.http}/`, rel: "noreferrer" }, row.addresses.http) : span("soft", row.addresses.http || "–"))],
    ],
  },
  {
    topic: "locks", title: "Locks", place: "left", empty: "Nobody holds a lock or waits for one.",
    about: "native ones, and recipes of ZooKeeper’s clients",
    key: (row) => `${row.source} ${row.name}`,
    columns: [
      ["Lock", (row) => [name(row.name), " ", tag(row.source === "native" ? "native" : "ZooKeeper", row.source === "native" ? "accent" : undefined)]],
      ["Kind", kind, "minor"],
      ["Held by", holders],
      ["Waiting", waiters],
    ],
  },
  {
    topic: "elections", title: "Elections", place: "left", empty: "Nobody leads or wants to.",
    key: (row) => row.name,
    columns: [
      ["Election", (row) => name(row.name)],
      ["Leader", holders],
      ["Candidates", waiters],
    ],
  },
  {
    topic: "queues", title: "Queues", place: "left", empty: "There is no queue.",
    key: (row) => row.name,
    columns: [
      ["Queue", (row) => name(row.name)],
      ["Messages", (row) => zero(row.messages), "number"],
      ["Keys ready", (row) => zero(row.ready), "number"],
      ["Claimed", (row) => zero(row.claimed), "number"],
      ["Delayed", (row) => zero(row.delayed), "number minor"],
      ["Dead", (row) => zero(row.dead, "bad"), "number"],
      ["Waiting", (row) => zero(row.waiters), "number minor"],
      ["Hot keys", hotKeys],
    ],
  },
  {
    topic: "topics", title: "Topics", place: "left", empty: "There is no topic.",
    key: (row) => row.name,
    columns: [
      ["Topic", (row) => name(row.name)],
      ["Partitions", (row) => zero(row.partition_count), "number"],
      ["Messages", (row) => zero(row.messages), "number"],
      ["Producers", (row) => zero(row.producers), "number minor"],
      ["Groups", groups],
    ],
  },
  {
    topic: "sessions", title: "Sessions", place: "right", empty: "There is no session.",
    key: (row) => row.session,
    columns: [
      ["Session", (row) => [String(row.session), " ", row.shown ? span("soft", row.shown) : ""]],
      ["Kind", (row) => (row.kind === "native" ? "native" : "ZooKeeper")],
      ["At node", (row) => String(row.node), "number"],
      ["Time-out", (row) => duration(row.timeout_ms).replace(/ 0 .$/, ""), "number"],
      ["Holds or waits", (row) => zero(row.things), "number"],
    ],
  },
  {
    topic: "limits", title: "Limits", place: "right", empty: "There is no rate limit.",
    key: (row) => row.name,
    columns: [
      ["Limit", (row) => [name(row.name), " ", span("soft still", row.algorithm)]],
      ["Allows", rate, "still"],
      ["Left", meter],
      ["Permits out", (row) => zero(row.holds), "number minor"],
    ],
  },
  {
    topic: "keys", title: "Idempotency keys", place: "right", empty: "There is no key.",
    key: (row) => row.key,
    columns: [
      ["Key", (row) => name(row.key)],
      ["State", (row) => tag(row.failed ? "failed" : keyStates[row.state][0], row.failed ? "bad" : keyStates[row.state][1])],
      ["By", (row) => (row.state === "running" ? [name(row.holder || "–"), row.session ? span("soft", ` session ${row.session}`) : ""] : span("soft", "–")), "minor"],
      ["Tries", (row) => zero(row.attempts), "number"],
      ["Wait", (row) => zero(row.waiters), "number"],
      ["For", (row) => age(row.for_ms), "number minor"],
      ["Ends in", (row) => (row.due_in_ms ? left(row.due_in_ms) : span("soft", "–")), "number"],
    ],
  },
  {
    topic: "services", title: "Services", place: "right", empty: "No service is registered.",
    key: (row) => row.service,
    columns: [
      ["Service", (row) => name(row.service)],
      ["Health", health, "still"],
      ["Calls", (row) => zero(row.leases), "number minor"],
      ["Instances", instances],
    ],
  },
  {
    topic: "config", title: "Configuration", place: "right", empty: "There is no namespace.",
    key: (row) => row.name,
    columns: [
      ["Namespace", (row) => name(row.name)],
      ["Version", (row) => zero(row.version), "number"],
      ["Release", release],
      ["Newest", (row) => zero(row.newest), "number minor"],
      ["Kept", (row) => zero(row.kept), "number"],
    ],
  },
  {
    topic: "sequences", title: "Sequences", place: "right", empty: "There is no sequence.",
    key: (row) => row.name,
    columns: [
      ["Sequence", (row) => [name(row.name), " ", row.gapless ? tag("gapless", "accent") : "", row.restored ? tag("restored", "warn") : ""]],
      ["Next", (row) => (row.exhausted ? tag("exhausted", "bad") : count(row.next)), "number"],
      ["Step", (row) => zero(row.step), "number minor"],
    ],
  },
];

// ---- drawing

const $ = (id) => document.getElementById(id);
const columns = {};

function build(panel) {
  const head = el("tr", {}, ...panel.columns.map(([title, , cls]) => el("th", { scope: "col", class: cls }, title)));
  panel.body = el("tbody");
  panel.table = el("table", { "aria-labelledby": `${panel.topic}-title` }, el("thead", {}, head), panel.body);
  panel.none = el("p", { class: "empty" }, "Asking…");
  panel.total = span("");
  panel.shown = span("");
  panel.first = el("button", { type: "button" }, "First page");
  panel.next = el("button", { type: "button" }, "Next page");
  panel.more = el("div", { class: "more", hidden: true }, panel.first, panel.next, panel.shown);
  panel.first.addEventListener("click", () => go(panel, ""));
  panel.next.addEventListener("click", () => go(panel, panel.cursor));
  panel.after = "";
  panel.rows = new Map();
  panel.section = el("section", { id: panel.topic, "aria-labelledby": `${panel.topic}-title`, tabindex: "-1" },
    el("header", {}, el("h2", { id: `${panel.topic}-title` }, panel.title), panel.about ? el("p", { class: "about" }, panel.about) : null),
    (panel.sheet = el("div", { class: "sheet" }, panel.table, panel.none)), panel.more);
  columns[panel.place].append(panel.section);
  $("nav").append(el("li", {}, el("a", { href: `#${panel.topic}` }, panel.title, panel.total)));
}

// What does not fit is scrolled by keys too, once it has the focus.
function mark(panel) {
  if (panel.sheet.scrollWidth <= panel.sheet.clientWidth) {
    for (const key of ["tabindex", "role", "aria-labelledby"]) panel.sheet.removeAttribute(key);
    return;
  }
  panel.sheet.tabIndex = 0;
  panel.sheet.setAttribute("role", "region");
  panel.sheet.setAttribute("aria-labelledby", `${panel.topic}-title`);
}

function go(panel, after) {
  panel.after = after;
  want([panel.topic], 0);
}

// What a row shows, without how long ago: that goes on by itself. A deadline counts to two seconds.
function signature(row) {
  return JSON.stringify(row, (key, value) =>
    key === "for_ms" || key === "oldest_ms" ? undefined : key === "due_in_ms" ? value && Math.round((Date.now() + value) / 2000) : value);
}

function fill(line, panel, row) {
  const open = [...line.querySelectorAll("details")].map((one) => one.open);
  const focused = document.activeElement && line.contains(document.activeElement) ? document.activeElement.tagName : null;
  const cells = panel.columns.map(([, show, cls], i) =>
    el(i === 0 ? "th" : "td", { class: cls, scope: i === 0 ? "row" : undefined }, ...[show(row)].flat()));
  line.replaceChildren(...cells);
  line.querySelectorAll("details").forEach((one, i) => (one.open = Boolean(open[i])));
  if (focused) line.querySelector(focused)?.focus({ preventScroll: true });
}

function draw(panel, rows) {
  const before = panel.rows;
  const first = !panel.drawn;
  let at = panel.body.firstElementChild;
  panel.rows = new Map();
  panel.drawn = true;
  for (const row of rows) {
    const key = panel.key(row);
    const sign = signature(row);
    const known = before.get(key);
    const line = known ? known.line : el("tr", { class: first ? undefined : "fresh" });
    if (!known || known.sign !== sign) fill(line, panel, row);
    panel.rows.set(key, { line, sign });
    before.delete(key);
    if (line === at) at = at.nextElementSibling;
    else panel.body.insertBefore(line, at);
  }
  for (const { line } of before.values()) line.remove();
  panel.table.hidden = rows.length === 0;
  panel.none.hidden = rows.length > 0;
  panel.none.textContent = panel.empty;
  mark(panel);
}

function drawPanel(panel, part) {
  draw(panel, part.rows);
  const beside = part.rows.filter((row) => row.source === "zookeeper").length; // they are not in the count
  const total = Math.max(part.count + beside, part.rows.length);
  panel.cursor = part.next;
  panel.total.textContent = part.next && beside ? `${count(total)}+` : count(total);
  panel.shown.textContent = `${count(part.rows.length)} shown`;
  panel.first.disabled = panel.after === "";
  panel.next.disabled = !part.next;
  panel.more.hidden = panel.after === "" && !part.next;
}

// ---- the node, and whether it is there

const seen = { leader: undefined, lost: false, lostAt: 0 };
function say(text) {
  const news = $("news");
  news.append(el("p", {}, text));
  if (news.children.length > 5) news.firstElementChild.remove();
}

function banner(text, state) {
  const node = $("banner");
  node.hidden = !text;
  if (node.textContent !== text) node.textContent = text;
  node.dataset.state = state || "";
}

function link(text, state) {
  $("link").textContent = text;
  $("link").dataset.state = state;
}

function drawCluster(cluster) {
  const own = cluster.node;
  const panel = PANELS.find((one) => one.topic === "members");
  drawPanel(panel, { rows: cluster.members, count: cluster.members.length, next: null });
  const leads = own.id === cluster.leader;
  const leader = cluster.leader ? (leads ? "it leads" : `leader is node ${cluster.leader}`) : "no leader";
  $("node").replaceChildren(el("b", {}, `Node ${own.id}`), ` · ${own.role} · ${leader} · term ${count(cluster.term)} · ${own.version} · up ${duration(own.uptime_ms)}`);
  document.title = `Parley – node ${own.id}${leads ? ", leader" : ""}`;
  $("index").textContent = `index ${count(own.applied_index)}`;
  if (seen.leader !== undefined && seen.leader !== cluster.leader)
    say(cluster.leader ? `Node ${cluster.leader} leads now.` : "There is no leader.");
  seen.leader = cluster.leader;
  const away = cluster.members.filter((one) => !one.self && !one.connected).map((one) => `node ${one.id}`);
  if (own.diverged) banner("This node’s state differs from the majority’s. It serves nobody until it is rebuilt, and what is wrong is not shown.", "bad");
  else if (cluster.members.length === 0) banner("The cluster is not formed yet: nodes of --cluster are missing.", "warn");
  else if (!cluster.leader) banner(`This node knows no leader: nothing can be written, and what is below may be old.${away.length ? ` Not connected: ${away.join(", ")}.` : ""}`, "bad");
  else if (own.disk_full) banner("The disk is full: writes are refused, reads go on.", "bad");
  else if (!own.ready) banner("This node is catching up: what is below is old.", "warn");
  else banner("", "");
}

function found() {
  if (seen.lost) say("The node answers again.");
  seen.lost = false;
  delete $("main").dataset.stale;
  link("live", "good");
}

function lost(why) {
  if (!seen.lost) {
    seen.lost = true;
    seen.lostAt = Date.now();
    say("The node does not answer.");
  }
  $("main").dataset.stale = "";
  link("not live", "bad");
  const since = new Date(seen.lostAt).toLocaleTimeString("en-GB");
  banner(`${why} since ${since}. What is below is as of then. Trying again; the other nodes’ pages are linked under Members.`, "bad");
}

// ---- asking

let wanted = new Set();
let timer = 0;
let asking = false;
// Sessions say how many things they have, so they change with all the others.
function want(topics, delay = GATHER_MS) {
  for (const topic of topics) wanted.add(topic);
  if (topics.length) wanted.add("members").add("sessions");
  if (timer && delay > 0) return;
  clearTimeout(timer);
  timer = setTimeout(ask, delay);
}
const everything = () => want(PANELS.map((panel) => panel.topic), 0);

async function get(path) {
  const answer = await fetch(path, { signal: AbortSignal.timeout(PATIENCE_MS), cache: "no-store" });
  const body = await answer.json();
  if (!answer.ok) throw Object.assign(new Error(body.error || `It answers ${answer.status}`), { told: true });
  return body;
}

async function ask() {
  timer = 0;
  if (asking) return; // what came meanwhile is asked for behind it
  asking = true;
  const now = [...wanted];
  wanted = new Set();
  const paged = PANELS.filter((panel) => now.includes(panel.topic) && panel.after);
  const whole = now.filter((topic) => !paged.some((panel) => panel.topic === topic));
  try {
    const answers = await Promise.all([
      get(`/v1/view?limit=${ROWS}&panels=${whole.join(",")}`),
      ...paged.map((panel) => get(`/v1/view?limit=${ROWS}&panels=${panel.topic}&after=${panel.after}`)),
    ]);
    found();
    for (const view of answers) {
      if (view.cluster) drawCluster(view.cluster);
      for (const panel of PANELS) if (view.panels[panel.topic]) drawPanel(panel, view.panels[panel.topic]);
    }
  } catch (error) {
    lost(error.told ? error.message : "This node does not answer");
  }
  asking = false;
  if (wanted.size) want([]);
}

// The browser comes back by itself, with the last id; only a refusal (too many streams, say) ends that.
function listen() {
  const events = new EventSource("/v1/events");
  events.addEventListener("resync", everything);
  for (const panel of PANELS) events.addEventListener(panel.topic, () => want([panel.topic]));
  events.addEventListener("error", () => {
    everything();
    if (events.readyState === EventSource.CLOSED) setTimeout(listen, REFRESH_MS);
  });
}

for (const place of ["left", "right"]) $("main").append((columns[place] = el("div", { class: "column" })));
PANELS.forEach(build);
everything();
listen();
setInterval(() => {
  if (!document.hidden) everything();
}, REFRESH_MS);
setInterval(() => {
  const now = Date.now();
  document.querySelectorAll("[data-from]").forEach((node) => turn(node, now));
}, 1000);
addEventListener("resize", () => PANELS.forEach(mark));
document.addEventListener("visibilitychange", () => document.hidden || everything());
