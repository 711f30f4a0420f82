"use strict";
/* Hands in an order with its files: digests here, the order to the gateway, the bytes straight to the store. */

const WORDS = JSON.parse(document.body.dataset.words);
const ZH = document.documentElement.lang.startsWith("zh");
const PARALLEL = 3;
const TRIES = 6;
const REMEMBERED = "teledx.drop"; // the number of an upload that was interrupted; it names no patient

let token = "";
let network = null;

const $ = (id) => document.getElementById(id);
const named = (thing) => (ZH ? thing.name_zh : thing.name);

class Refused extends Error {
  constructor(status, told) {
    super(told.error ? told.error.message : String(status));
    this.told = told;
    this.status = status;
  }
}

async function api(method, path, body) {
  const headers = { Authorization: `Bearer ${token}` };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const answer = await fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  const told = await answer.json();
  if (!answer.ok) throw new Refused(answer.status, told);
  return told;
}

function say(text, kind = "") {
  $("said").textContent = text;
  $("said").className = kind;
}

function list(lines) {
  $("problems").replaceChildren(...lines.map((line) => Object.assign(document.createElement("li"), { textContent: line })));
}

function worded(told, name) {
  return told[ZH ? `${name}_zh` : name];
}

function explain(error) {
  if (error instanceof Refused) {
    const told = error.told.error || {};
    say([worded(told, "message"), worded(told, "todo")].filter(Boolean).join(" "), "bad");
    list(worded(error.told, "problems") || []);
  } else {
    say(WORDS.unreachable, "bad");
  }
}

/* ------------------------------------------------------------------ sign-in */

async function signIn(event) {
  event.preventDefault();
  token = $("token").value.trim();
  try {
    const me = await api("GET", "/api/me");
    network = await api("GET", "/api/network");
    $("who").textContent = `${named(me)}, ${named(me.organisation)}`;
    fillChoices();
    $("sign-in").hidden = true;
    $("order").hidden = false;
    $("again").hidden = !localStorage.getItem(REMEMBERED);
    say("");
  } catch (error) {
    explain(error);
  }
}

function fillChoices() {
  const option = (thing) => new Option(named(thing), thing.id);
  $("service").replaceChildren(...network.services.filter((s) => s.requestable).map(option));
  $("wished_partner").replaceChildren(new Option(WORDS.none, ""), ...network.partners.map(option));
  showSlides();
}

/* ------------------------------------------------------------------ the order */

const nameOf = (file) => file.webkitRelativePath || file.name;
const chosen = () => [...$("files").files, ...$("folder").files];
const isSlides = () => (network.services.find((s) => s.id === $("service").value) || {}).family === "slides";

/* One row of marks for each file: what its label must say. */
function showSlides() {
  $("slides").hidden = !isSlides();
  if (!isSlides()) return;
  const rows = chosen().map((file) => {
    const row = $("slide-row").content.cloneNode(true);
    row.querySelector(".file").textContent = nameOf(file);
    return row;
  });
  $("slide-rows").replaceChildren(...rows);
}

const value = (id) => $(id).value.trim();
const lines = (id) => value(id).split("\n").map((line) => line.trim()).filter(Boolean);

function patient() {
  const identifiers = [{ value: value("mr"), type: "MR" }];
  if (value("national-id")) identifiers.push({ value: value("national-id"), type: "national-id" });
  const told = { identifiers, name: value("name"), sex: value("sex"), birth_date: value("birth_date") };
  return value("name_latin") ? { ...told, name_latin: value("name_latin") } : told;
}

function slideParts() {
  if (!isSlides()) return {};
  const rows = [...$("slide-rows").children];
  const slides = rows.map((row, at) => {
    const mark = (part) => row.querySelector(`[name=${part}]`).value.trim();
    return {
      file: nameOf(chosen()[at]), pathology_number: mark("pathology_number"), specimen: mark("specimen"),
      block: mark("block"), stain: mark("stain"), number: at + 1, of: rows.length,
    };
  });
  const ids = [...new Set(slides.map((slide) => slide.specimen))];
  return { slides, specimens: ids.map((id) => ({ id, description: value("specimen") })) };
}

function orderOf(files, digests, consent) {
  const order = {
    accession_number: value("accession_number"), service: value("service"), priority: value("priority"),
    purpose: value("purpose"), procedure: { text: value("procedure") }, body_site: { text: value("body_site") },
    side: value("side"), clinical_question: value("clinical_question"), history: value("history"),
    allergies: lines("allergies"), requesting_doctor: value("requesting_doctor"),
    callback: { name: value("callback_name"), phone: value("callback_phone") }, patient: patient(),
    consent: { document_sha256: consent, signer: value("signer"), relation: value("relation") },
    files: files.map((file, at) => ({ name: nameOf(file), size: file.size, sha256: digests[at] })),
    ...slideParts(),
  };
  return value("wished_partner") ? { ...order, wished_partner: value("wished_partner") } : order;
}

/* ------------------------------------------------------------------ digests */

function digest(file, progress) {
  return new Promise((resolve, reject) => {
    const worker = new Worker("/upload/hash.js");
    worker.onmessage = ({ data }) => {
      if (data.done !== undefined) return progress(data.done);
      worker.terminate();
      return data.hex ? resolve(data.hex) : reject(new Error("unreadable"));
    };
    worker.onerror = () => { worker.terminate(); reject(new Error("worker")); };
    worker.postMessage({ id: 0, file });
  });
}

async function digests(files) {
  const total = files.reduce((sum, file) => sum + file.size, 0);
  const found = [];
  let before = 0;
  for (const file of files) {
    found.push(await digest(file, (done) => show(WORDS.hashing, before + done, total)));
    before += file.size;
  }
  return found;
}

function show(what, done, total) {
  $("bar").max = total || 1;
  $("bar").value = total ? done : 1;
  const mib = (bytes) => (bytes / 1048576).toFixed(bytes < 10485760 ? 1 : 0);
  say(`${what} ${mib(done)} / ${mib(total)} MiB`);
}

/* ------------------------------------------------------------------ bytes */

const pause = (seconds) => new Promise((go) => setTimeout(go, seconds * 1000));

function putOnce(url, blob, progress) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("PUT", url);
    request.upload.onprogress = (event) => progress(event.loaded);
    request.onload = () => (request.status < 300 ? resolve(request.getResponseHeader("ETag") || "") : reject(new Error("put")));
    request.onerror = request.ontimeout = () => reject(new Error("line"));
    request.timeout = 600000;
    request.send(blob);
  });
}

async function put(url, blob, progress) {
  for (let attempt = 1; ; attempt++) {
    try {
      return await putOnce(url, blob, progress);
    } catch (error) {
      progress(0);
      if (attempt === TRIES) throw error;
      await pause(Math.min(2 ** attempt, 30));
    }
  }
}

/* PUT every part that the store does not hold yet, a few at a time, then have the files put together. */
async function send(drop, files) {
  const byName = new Map(files.map((file) => [nameOf(file), file]));
  const total = drop.files.reduce((sum, told) => sum + told.size, 0);
  const sent = new Map();
  const report = () => show(WORDS.sending, [...sent.values()].reduce((a, b) => a + b, 0), total);
  const work = [];
  for (const told of drop.files) {
    for (const part of told.parts) work.push({ told, part, key: `${told.name}\n${part.number}` });
  }
  const one = async ({ told, part, key }) => {
    const start = (part.number - 1) * told.part_size;
    const blob = byName.get(told.name).slice(start, Math.min(start + told.part_size, told.size));
    if (!told.done && !part.etag) {
      part.etag = await put(part.url, blob, (done) => { sent.set(key, done); report(); });
    }
    sent.set(key, blob.size);
    report();
  };
  const lane = async () => { while (work.length) await one(work.shift()); };
  await Promise.all(Array.from({ length: PARALLEL }, lane));
  for (const told of drop.files.filter((each) => each.upload_id && !each.done)) {
    const parts = told.parts.map(({ number, etag }) => ({ number, etag: etag || "" }));
    await api("POST", `/api/drops/${drop.drop}/files`, { name: told.name, upload_id: told.upload_id, parts });
  }
}

async function deliver(drop, files) {
  localStorage.setItem(REMEMBERED, drop.drop);
  await send(drop, files);
  await api("POST", `/api/drops/${drop.drop}/complete`, {});
  localStorage.removeItem(REMEMBERED);
  await follow(drop.drop);
}

async function follow(drop) {
  say(`${WORDS.waiting} ${drop}`);
  for (;;) {
    const told = await api("GET", `/api/drops/${drop}`);
    if (told.state === "received") return say(`${WORDS.received} ${told.case_id}`, "good");
    if (told.reason && told.state !== "arriving") {
      say(["what", "todo"].map((name) => worded(told.reason, name)).join(" "), "bad");
      return list([...worded(told, "problems"), ...told.missing]);
    }
    await pause(1);
  }
}

/* ------------------------------------------------------------------ buttons */

async function guarded(deed) {
  const buttons = document.querySelectorAll("#order button");
  buttons.forEach((button) => { button.disabled = true; });
  list([]);
  try {
    await deed();
  } catch (error) {
    explain(error);
    $("again").hidden = !localStorage.getItem(REMEMBERED);
  } finally {
    buttons.forEach((button) => { button.disabled = false; });
  }
}

async function submit() {
  const files = chosen();
  const paper = $("consent").files[0];
  if (!files.length || !paper) return say(WORDS.incomplete, "bad");
  const [consent, ...found] = await digests([paper, ...files]);
  const drop = await api("POST", "/api/drops", { order: orderOf(files, found, consent) });
  return deliver(drop, files);
}

async function goOn() {
  const drop = await api("GET", `/api/drops/${localStorage.getItem(REMEMBERED)}/upload`);
  const files = chosen();
  const sizes = new Map(files.map((file) => [nameOf(file), file.size]));
  const absent = drop.files.filter((told) => sizes.get(told.name) !== told.size).map((told) => told.name);
  if (absent.length) {
    say(WORDS.same_files, "bad");
    return list(absent);
  }
  return deliver(drop, files);
}

$("sign-in").addEventListener("submit", signIn);
$("order").addEventListener("submit", (event) => { event.preventDefault(); guarded(submit); });
$("again").addEventListener("click", () => guarded(goOn));
["service", "files", "folder"].forEach((id) => $(id).addEventListener("change", showSlides));
