"use strict";
/* The slide viewer: who may look, which slides are shown side by side, tools and keys, and the link to a field of view. */

const WORDS = JSON.parse(document.body.dataset.words);
const WORK_ITEM = document.body.dataset.workItem;
const PRESETS = [1.25, 2.5, 5, 10, 20, 40];
const MOST_PANES = 4;
const RENEWED_EVERY = 240_000; // milliseconds: a grant lives for ten minutes

let ticket = "";
let slides = [];
let panes = [];
let active = null;
let together = true;
let following = false; // while panes follow the active one

const $ = (id) => document.getElementById(id);

function say(text, kind = "") {
  $("said").textContent = text;
  $("said").className = kind;
}

class Refused extends Error {
  constructor(status, told) {
    super(told.error ? [told.error.message, told.error.todo].filter(Boolean).join(" ") : String(status));
    this.status = status;
  }
}

async function api(method, path, { body, token } = {}) {
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const answer = await fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  const told = await answer.json();
  if (!answer.ok) throw new Refused(answer.status, told);
  return told;
}

/* ------------------------------------------------------------------ who looks */

function explain(error) {
  if (error instanceof Refused && (error.status === 403 || error.status === 401)) {
    say(WORDS.over, "bad");
    askToSignIn();
  } else {
    say(error instanceof Refused ? error.message : WORDS.unreachable, "bad");
  }
}

function askToSignIn() {
  sessionStorage.removeItem(WORK_ITEM);
  $("sign-in").hidden = false;
  $("token").focus();
}

async function signIn(event) {
  event.preventDefault();
  try {
    const token = $("token").value.trim();
    ticket = (await api("POST", `/api/work-items/${WORK_ITEM}/viewing`, { token })).ticket;
    $("token").value = "";
    await begin();
  } catch (error) {
    explain(error);
    if (error instanceof Refused) say(error.message, "bad");
  }
}

function keepTicket(fresh) {
  ticket = fresh;
  sessionStorage.setItem(WORK_ITEM, fresh); // for this tab alone, until it is closed
}

async function begin() {
  const told = await api("GET", `/api/viewings/${ticket}/slides`);
  keepTicket(told.ticket);
  $("sign-in").hidden = true;
  if (panes.length) {
    await renewAll(); // somebody signed in again: go on where they were
    return lookAgain();
  }
  slides = told.slides;
  $("case").textContent = `${told.pseudonym} · ${told.case_id}`;
  $("main").hidden = $("tools").hidden = false;
  list();
  if (!slides.length) return say(WORDS.none);
  const wanted = fieldInLink();
  const numbers = wanted.numbers.length ? wanted.numbers : [slides[0].number];
  await Promise.all(numbers.map((number) => inTurn(`first ${number}`, () => open(number, wanted.field))));
}

async function renewAll() {
  const told = await api("GET", `/api/viewings/${ticket}/slides`);
  keepTicket(told.ticket);
  await Promise.all(panes.map(renew));
  say("");
}

async function renew(pane) {
  const path = `/api/viewings/${ticket}/slides/${pane.slide.number}`;
  pane.grant = (await api("POST", path, { body: { before: pane.grant } })).grant;
}

/* ------------------------------------------------------------------ slides and panes */

function list() {
  $("list").replaceChildren(
    ...slides.map((slide) => {
      const row = document.createElement("li");
      const name = row.appendChild(document.createElement("button"));
      name.className = "name";
      name.dataset.number = slide.number;
      name.textContent = [slide.stain, slide.block].filter(Boolean).join(" · ") || slide.name;
      name.appendChild(Object.assign(document.createElement("small"), { textContent: slide.name }));
      name.addEventListener("click", () => only(slide.number));
      const beside = row.appendChild(document.createElement("button"));
      beside.textContent = "+";
      beside.title = WORDS.beside_hint;
      beside.setAttribute("aria-label", `${WORDS.beside_hint}: ${slide.name}`);
      beside.addEventListener("click", () => toggle(slide.number));
      return row;
    }),
  );
}

async function open(number, field) {
  const slide = slides.find((s) => s.number === number);
  if (!slide || panes.some((p) => p.slide.number === number) || panes.length >= MOST_PANES) return;
  say(WORDS.loading);
  try {
    const opened = await api("POST", `/api/viewings/${ticket}/slides/${number}`, { body: {} });
    const pane = new Pane(slide, opened, WORDS, { moved, failed, chosen: choose });
    panes.push(pane);
    lay();
    await pane.start(field);
    choose(pane);
    say("");
  } catch (error) {
    explain(error);
  }
}

function shut(pane) {
  panes = panes.filter((p) => p !== pane);
  pane.end();
  if (active === pane) choose(panes[0] || null);
  lay();
}

/* One after the other, since opening waits for the gateway; the second of two quick clicks on one slide is none. */
let deeds = Promise.resolve();
let asked = "";
function inTurn(name, deed) {
  if (name === asked) return deeds;
  asked = name;
  const mine = deeds.then(deed).catch(explain).finally(() => { if (deeds === mine) asked = ""; });
  deeds = mine;
  return mine;
}

function only(number) {
  return inTurn(`only ${number}`, () => {
    panes.filter((p) => p.slide.number !== number).forEach(shut);
    return open(number);
  });
}

function toggle(number) {
  return inTurn(`toggle ${number}`, () => {
    const shown = panes.find((p) => p.slide.number === number);
    if (!shown) return open(number, active && active.ready ? active.field : undefined);
    if (panes.length > 1) shut(shown);
  });
}

function lay() {
  $("panes").className = `of-${panes.length}`;
  $("panes").replaceChildren(...panes.map((p) => p.element));
  for (const button of document.querySelectorAll("#list .name")) {
    button.setAttribute("aria-current", String(panes.some((p) => p.slide.number === Number(button.dataset.number))));
  }
}

function choose(pane) {
  active = pane;
  for (const each of panes) each.element.classList.toggle("active", each === pane && panes.length > 1);
  for (const button of $("presets").children) button.disabled = !(pane && pane.image.microns);
  if (pane && pane.ready) remember();
}

/* ------------------------------------------------------------------ moving together */

function moved(pane) {
  if (following || pane !== active || !pane.ready) return;
  const now = pane.field;
  const before = pane.last || now;
  pane.last = now;
  if (together) {
    following = true;
    panes.filter((p) => p !== pane && p.ready).forEach((p) => follow(p, before, now));
    following = false;
  }
  remember();
}

/* The others make the same way across the glass, each from where it was and in its own direction. */
function follow(pane, before, now) {
  const was = pane.field;
  const turn = ((was.turned - before.turned) * Math.PI) / 180;
  const [across, down] = [now.x - before.x, now.y - before.y];
  pane.go({
    x: was.x + across * Math.cos(turn) + down * Math.sin(turn),
    y: was.y - across * Math.sin(turn) + down * Math.cos(turn),
    um: was.um * (now.um / before.um),
    turned: was.turned + now.turned - before.turned,
  });
  pane.last = undefined;
}

/* ------------------------------------------------------------------ the link to a field of view */

function fieldInLink() {
  const told = new URLSearchParams(location.hash.slice(1));
  const number = (name) => (told.has(name) && Number.isFinite(Number(told.get(name))) ? Number(told.get(name)) : undefined);
  const numbers = (told.get("slides") || "").split(",").map(Number).filter((n) => n > 0).slice(0, MOST_PANES);
  return { numbers, field: { x: number("x"), y: number("y"), um: number("um"), turned: number("turned") } };
}

let remembering = 0;
function remember() {
  clearTimeout(remembering);
  remembering = setTimeout(() => {
    if (!active || !active.ready) return;
    const { x, y, um, turned } = active.field;
    const order = [active, ...panes.filter((p) => p !== active)].map((p) => p.slide.number).join(",");
    const told = { slides: order, x: x.toFixed(1), y: y.toFixed(1), um: um.toPrecision(4), turned: turned.toFixed(0) };
    history.replaceState(null, "", `#${new URLSearchParams(told).toString().replaceAll("%2C", ",")}`);
    $("angle").value = String(Math.round(turned) % 360);
  }, 250);
}

/* A page that did not come by https has no clipboard, and a browser may refuse it. */
async function copyLink() {
  try {
    await navigator.clipboard.writeText(location.href);
    say(WORDS.copied);
  } catch {
    say(`${WORDS.copy_this} ${location.href}`);
  }
}

/* ------------------------------------------------------------------ what goes wrong */

let mending = false;
let again = false;
// A tile that failed is asked for again only by a reset; what fails while one is under way is seen to after it.
async function failed(pane, event) {
  if (!event.tile) return;
  if (mending) {
    again = true;
    return;
  }
  mending = true;
  try {
    await renewAll();
    lookAgain();
  } catch (error) {
    explain(error);
  } finally {
    setTimeout(() => {
      mending = false;
      if (again) {
        again = false;
        failed(pane, event);
      }
    }, 5000);
  }
}

function lookAgain() {
  for (const pane of panes) if (pane.ready) pane.osd.world.resetItems();
}

/* ------------------------------------------------------------------ tools and keys */

function preset(magnification) {
  if (active && active.image.microns) active.go({ um: MICRONS_AT_1 / magnification }, false);
}

function turn(by) {
  if (active) active.turn(active.field.turned + by);
}

function next(by) {
  const shown = slides.findIndex((s) => active && s.number === active.slide.number);
  const other = slides[shown + by];
  if (other) only(other.number);
}

function setTogether(is) {
  together = is;
  $("together").setAttribute("aria-pressed", String(is));
  for (const pane of panes) pane.last = undefined;
}

const KEYS = {
  ArrowLeft: (far) => active.move(far ? -1 : -0.25, 0),
  ArrowRight: (far) => active.move(far ? 1 : 0.25, 0),
  ArrowUp: (far) => active.move(0, far ? -1 : -0.25),
  ArrowDown: (far) => active.move(0, far ? 1 : 0.25),
  "+": () => active.zoom(Math.SQRT2),
  "=": () => active.zoom(Math.SQRT2),
  "-": () => active.zoom(Math.SQRT1_2),
  0: () => active.whole(),
  r: () => turn(90),
  R: () => turn(-90),
  ",": () => turn(-5),
  ".": () => turn(5),
  "[": () => next(-1),
  "]": () => next(1),
  b: () => {
    const other = slides.find((s) => !panes.some((p) => p.slide.number === s.number));
    if (other) toggle(other.number);
  },
  s: () => setTogether(!together),
  l: () => copyLink(),
  "?": () => $("keys").showModal(),
  ...Object.fromEntries(PRESETS.map((magnification, at) => [String(at + 1), () => preset(magnification)])),
};

function pressed(event) {
  const typing = ["INPUT", "SELECT", "TEXTAREA"].includes(event.target.tagName);
  if (typing || event.ctrlKey || event.metaKey || event.altKey || !(event.key in KEYS)) return;
  if (!active || !active.ready || $("keys").open) return;
  event.preventDefault();
  KEYS[event.key](event.shiftKey);
}

function makeTools() {
  $("presets").append(
    ...PRESETS.map((magnification, at) => {
      const button = document.createElement("button");
      button.textContent = `${magnification}×`;
      button.title = `${MICRONS_AT_1 / magnification} µm/px (${at + 1})`;
      button.addEventListener("click", () => preset(magnification));
      return button;
    }),
  );
  const tools = {
    whole: () => active && active.whole(),
    closer: () => active && active.zoom(Math.SQRT2),
    away: () => active && active.zoom(Math.SQRT1_2),
    "turn-right": () => turn(90),
    "turn-left": () => turn(-90),
    together: () => setTogether(!together),
    link: copyLink,
    help: () => $("keys").showModal(),
  };
  for (const [id, does] of Object.entries(tools)) $(id).addEventListener("click", does);
  $("angle").addEventListener("change", () => active && active.turn(Number($("angle").value) || 0));
  $("other").addEventListener("click", () => { $("other").hash = location.hash; });
  $("sign-in").addEventListener("submit", signIn);
  document.addEventListener("keydown", pressed);
}

async function start() {
  makeTools();
  const told = new URLSearchParams(location.hash.slice(1));
  ticket = told.get("ticket") || sessionStorage.getItem(WORK_ITEM) || "";
  if (told.has("ticket")) {
    told.delete("ticket"); // an address that is copied or kept opens nothing by itself
    history.replaceState(null, "", `#${told}`);
  }
  if (!window.OpenSeadragon) return say(WORDS.missing, "bad");
  setInterval(() => { if (panes.length) renewAll().catch(explain); }, RENEWED_EVERY);
  if (!ticket) return askToSignIn();
  try {
    await begin();
  } catch (error) {
    explain(error);
  }
}

start();
