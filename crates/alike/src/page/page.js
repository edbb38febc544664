"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const KEPT = 60, SAMPLES = 10_000, SILENCE = 25_000;
  const views = new Map();
  let token = "", last = null, heard = 0, source = null, lost = 0;

  // ---- words ----

  const number = new Intl.NumberFormat("en");
  const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
  const short = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
  const whole = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });
  const count = (n, one, many) => `${number.format(n)} ${n === 1 ? one : many ?? one + "s"}`;

  function size(bytes) {
    const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let at = 0;
    while (bytes >= 1023.95 && at < units.length - 1) { bytes /= 1024; at += 1; }
    return `${at ? bytes.toFixed(1) : Math.round(bytes)} ${units[at]}`;
  }
  function span(ms) {
    if (ms < 1000) return `${Math.round(ms)} ms`;
    const s = ms / 1000;
    if (s < 60) return `${s < 10 ? s.toFixed(1) : Math.round(s)} s`;
    if (s < 3600) return `${Math.round(s / 60)} min`;
    if (s < 172_800) return `${Math.round(s / 3600)} h`;
    return `${Math.round(s / 86_400)} days`;
  }
  function ago(at) {
    const ms = Date.now() - Date.parse(at);
    return ms < 1500 ? "just now" : `${span(Math.max(0, Math.floor(ms / 1000) * 1000)).replace(".0", "")} ago`;
  }

  // A name shows all that could mislead as an escape, as the log does. It is only ever put into a page as text.
  const UNSAFE = /[\u0000-\u001f\u007f-\u009f\\\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\u{e0000}-\u{e007f}]/gu;
  const NAMED = { "\n": "\\n", "\t": "\\t", "\r": "\\r", "\\": "\\\\" };
  const hex = (code) => code.toString(16).padStart(2, "0");
  function escaped(text) {
    return text.replace(UNSAFE, (ch) => NAMED[ch] ?? (ch.codePointAt(0) < 128 ? `\\x${hex(ch.codePointAt(0))}` : `\\u{${ch.codePointAt(0).toString(16)}}`));
  }
  function name(path, bytes) {
    if (!bytes) return escaped(path ?? "");
    const raw = Uint8Array.from(atob(bytes), (ch) => ch.charCodeAt(0));
    const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
    let text = "";
    for (let at = 0; at < raw.length;) {
      const lead = raw[at], long = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
      try {
        text += escaped(strict.decode(raw.subarray(at, at + long)));
        at += long;
      } catch {
        text += `\\x${hex(lead)}`;
        at += 1;
      }
    }
    return text;
  }

  // ---- making and keeping elements ----

  function h(tag, props = {}, ...inside) {
    const made = document.createElement(tag);
    for (const [key, value] of Object.entries(props)) {
      if (key === "class") made.className = value;
      else if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
      else made.setAttribute(key, value);
    }
    made.append(...inside.filter((one) => one !== null && one !== undefined && one !== ""));
    return made;
  }
  const path = (text, bytes, tag = "bdi") => h(tag, { class: "path" }, name(text, bytes));
  function put(element, text) { if (element.textContent !== text) element.textContent = text; }
  function time(at, how = "ago") {
    const made = h("time", { datetime: at, title: whole.format(new Date(at)) });
    if (how === "ago") made.dataset.ago = at;
    made.textContent = how === "ago" ? ago(at) : clock.format(new Date(at));
    return made;
  }
  /** Makes the children of a list those of the rows; what is there already stays, so that nobody loses the focus. */
  function sync(list, rows, key, make) {
    const there = new Map([...list.children].map((child) => [child.dataset.key, child]));
    let at = list.firstElementChild;
    for (const row of rows) {
      const id = key(row);
      let child = there.get(id);
      there.delete(id);
      if (!child) { child = make(row); child.dataset.key = id; }
      if (child === at) at = at.nextElementSibling;
      else list.insertBefore(child, at);
    }
    for (const gone of there.values()) gone.remove();
  }

  // ---- one replica ----

  const TONES = { identical: "good", starting: "busy", comparing: "busy", copying: "busy", differs: "warn", damaged: "bad", halted: "bad", stopped: "off" };
  const toneOf = (replica) => (replica.state === "identical" && !replica.well ? "warn" : TONES[replica.state] ?? "off");
  const keyOf = (job, replica) => `${job}\n${replica}`;

  function section(title, load) {
    const number = h("span", { class: "count" });
    const inside = h("div", { class: "in" });
    const whole = h("details", {}, h("summary", {}, title, number), inside);
    if (load) whole.addEventListener("toggle", () => { if (whole.open) load(); });
    return { whole, inside, number };
  }

  function view(job, replica, anchor) {
    const own = { job, replica, anchor, events: [], samples: [], facts: {}, was: "", loaded: -1 };
    own.word = h("span", { class: "word" });
    own.why = h("span", { class: "why" });
    own.state = h("p", { class: "state" }, own.word, own.why);
    own.holdWhy = h("p");
    own.hold = h("div", { class: "hold", hidden: "" }, own.holdWhy, h("button", { type: "button", onclick: () => resume(own) }, "Let the mirror go on"));
    const facts = h("dl", { class: "facts" });
    for (const title of ["Identical as of", "Behind", "Throughput", "Files", "Copied since the start", "Last full pass"]) {
      const value = h("dd");
      own.facts[title] = value;
      facts.append(h("div", {}, h("dt", {}, title), value));
    }
    own.day = day(own);
    own.actions = section("Last actions");
    own.list = h("ol", { class: "rows" });
    own.quiet = h("p", { class: "empty" }, "Nothing was changed since the start.");
    own.actions.inside.append(own.quiet, own.list);
    own.actions.whole.open = true;
    own.trouble = section("Not as in the source");
    own.troubles = h("ul", { class: "rows" });
    own.trouble.inside.append(own.troubles);
    own.trouble.whole.hidden = true;
    own.trash = section("Trash", () => loadTrash(own));
    own.kept = h("ul", { class: "rows" });
    own.keptNote = h("p", { class: "empty" }, "Loading…");
    own.trash.inside.append(own.keptNote, own.kept);
    own.past = section("Passes", () => loadPast(own));
    own.passes = h("ol", { class: "rows" });
    own.pastNote = h("p", { class: "empty" }, "Loading…");
    own.past.inside.append(own.pastNote, own.passes);
    own.whole = h("article", { class: "replica", id: anchor, "aria-labelledby": `${anchor}-name` },
      h("h3", { class: "path", id: `${anchor}-name` }, escaped(replica)),
      own.state, own.hold, facts, own.trouble.whole, own.day.whole, own.actions.whole, own.trash.whole, own.past.whole);
    return own;
  }

  function update(own, replica) {
    const before = own.now;
    own.now = replica;
    own.state.className = `state ${toneOf(replica)}`;
    put(own.word, replica.state);
    put(own.why, whyOf(replica));
    own.hold.hidden = !replica.hold;
    put(own.holdWhy, replica.hold ? `Held: ${replica.hold}. No pass is made until you let it go on. The next pass makes this replica like the source again, so what was brought back is taken away unless you copy it to the source first.` : "");
    own.samples.push([Date.now(), replica.bytes, replica.changes]);
    tick(own);
    const pass = replica.last_pass;
    const facts = own.facts;
    put(facts.Files, number.format(replica.files));
    put(facts["Copied since the start"], `${size(replica.bytes)} in ${count(replica.changes, "change")}`);
    if (!before || JSON.stringify(before.last_pass) !== JSON.stringify(pass)) {
      facts["Last full pass"].replaceChildren(...(pass ? [time(pass.ended), h("small", {}, `${span(pass.ms)}: ${escaped(pass.summary)}`)] : ["not yet"]));
    }
    if (before?.identical_at !== replica.identical_at || !before) {
      facts["Identical as of"].replaceChildren(replica.identical_at ? time(replica.identical_at) : "not yet");
    }
    const troubles = [...replica.failed, ...replica.held], all = replica.failed_count + replica.held_count;
    const marked = JSON.stringify(troubles);
    if (marked !== own.was) {
      own.was = marked;
      if (own.trouble.whole.hidden) own.trouble.whole.open = true;
      own.trouble.whole.hidden = all === 0;
      sync(own.troubles, troubles, (one) => JSON.stringify(one), (one) => h("li", {}, time(one.since, "clock"),
        h("span", { class: `act ${one.action === "error" ? "bad" : "warn"}` }, one.action === "error" ? "failed" : one.action),
        h("span", { class: "what" }, path(one.path, one.path_bytes), h("span", { class: "because" }, escaped(one.reason)))));
    }
    put(own.trouble.number, `${count(replica.failed_count, "path")} failed, ${number.format(replica.held_count)} held back or skipped${troubles.length < all && troubles.length ? `; the first ${troubles.length} are named` : ""}`);
    const trash = replica.trash;
    put(own.trash.number, trash ? (trash.entries ? `${count(trash.entries, "entry", "entries")}, ${size(trash.bytes)}` : "empty") : "not known");
    const stands = `${replica.changes} ${trash?.entries} ${replica.state} ${replica.hold}`;
    if (own.stands !== stands) {
      own.stands = stands;
      later(own);
    }
  }

  function whyOf(replica) {
    const progress = replica.progress;
    // What holds it is said below, with what to do here.
    if (replica.hold) return "";
    if (progress) return `${count(progress.looked, "entry", "entries")} looked at, ${number.format(progress.copied)} copied, ${size(progress.bytes)}${replica.why ? ` · ${escaped(replica.why)}` : ""}`;
    return escaped(replica.why ?? "");
  }

  /** What changes with time alone. */
  function tick(own) {
    const now = Date.now(), replica = own.now;
    while (own.samples.length > 2 && own.samples[1][0] < now - SAMPLES) own.samples.shift();
    const [at, bytes, changes] = own.samples[0];
    const over = Math.max(1, Math.min(SAMPLES, now - at) / 1000);
    const did = replica.changes - changes;
    const rate = did / over;
    put(own.facts.Throughput, did > 0 && now - own.samples.at(-1)[0] < SAMPLES ? `${size((replica.bytes - bytes) / over)}/s, ${rate < 10 ? rate.toFixed(1) : Math.round(rate)} changes/s` : "quiet");
    put(own.facts.Behind, replica.lag_paths || replica.lag_ms ? `${count(replica.lag_paths, "path")}, ${span(replica.lag_ms)}` : "nothing waits");
  }

  /** What is open is read again, but not at each change. */
  function later(own) {
    if (own.waits) return;
    own.waits = setTimeout(() => {
      own.waits = null;
      own.day.load();
      if (own.trash.whole.open) loadTrash(own);
      if (own.past.whole.open) loadPast(own);
    }, 700);
  }

  // ---- the last day ----

  const BUCKET = 15, BUCKETS = 96, SVG = "http://www.w3.org/2000/svg";

  function day(own) {
    const drawn = document.createElementNS(SVG, "svg");
    drawn.setAttribute("viewBox", "0 0 960 104");
    drawn.setAttribute("preserveAspectRatio", "none");
    drawn.setAttribute("role", "img");
    const axis = h("div", { class: "axis", "aria-hidden": "true" }, h("span"), h("span"), h("span"), h("span"), h("span", {}, "now"));
    const most = h("span", { class: "key" }), slowest = h("span", { class: "key slow" });
    const rows = h("tbody");
    const table = h("table", {}, h("thead", {}, h("tr", {}, ...["Hour", "Changes", "Copied", "Slowest arrival"].map((title) => h("th", { scope: "col" }, title)))), rows);
    const more = h("details", {}, h("summary", {}, "As a table"), h("div", { class: "in scroll", tabindex: "0", role: "region", "aria-label": "The last day, hour by hour" }, table));
    const whole = h("figure", { class: "day" }, h("figcaption", {}, h("b", {}, "Last 24 hours"), most, slowest), drawn, axis, more);
    const load = async () => {
      const answer = await read(`/api/day?${about(own)}`);
      if (answer) draw(answer, { drawn, axis, more, most, slowest, rows });
    };
    return { whole, load };
  }

  function draw({ now, minutes }, { drawn, axis, more, most, slowest, rows }) {
    const end = Math.floor(now / BUCKET) * BUCKET + BUCKET, begin = end - BUCKETS * BUCKET;
    const buckets = Array.from({ length: BUCKETS }, (_, at) => ({ at: begin + at * BUCKET, changes: 0, bytes: 0, late: 0 }));
    for (const minute of minutes) {
      const bucket = buckets[Math.floor((minute.at - begin) / BUCKET)];
      if (!bucket) continue;
      bucket.changes += minute.changes;
      bucket.bytes += minute.bytes;
      bucket.late = Math.max(bucket.late, minute.latency_ms);
    }
    const top = Math.max(1, ...buckets.map((one) => one.changes)), late = Math.max(1, ...buckets.map((one) => one.late));
    const all = buckets.reduce((sum, one) => sum + one.changes, 0);
    // One bulk copy would make all else invisible.
    const scaled = (value, most, room) => (value ? Math.max(3, (Math.log1p(value) / Math.log1p(most)) * room) : 0);
    const shapes = [shape("line", { class: "base", x1: 0, x2: 960, y1: 60.5, y2: 60.5 })];
    buckets.forEach((one, at) => {
      const up = scaled(one.changes, top, 58), down = scaled(one.late, late, 38);
      const told = `${short.format(one.at * 60_000)}: ${count(one.changes, "change")}, ${size(one.bytes)}, slowest ${span(one.late)}`;
      if (up) shapes.push(shape("rect", { class: "changes", x: at * 10 + 1, y: 60 - up, width: 8, height: up, rx: 1 }, told));
      if (down) shapes.push(shape("rect", { class: "late", x: at * 10 + 1, y: 62, width: 8, height: down, rx: 1 }, told));
    });
    drawn.replaceChildren(...shapes);
    const some = all > 0 || late > 1;
    for (const part of [drawn, axis, more]) part.style.display = some ? "" : "none";
    drawn.setAttribute("aria-label", some ? `The last 24 hours: ${count(all, "change")}, at most ${number.format(top)} in 15 minutes; the slowest took ${span(late)} to arrive. The table below has the numbers.` : "The last 24 hours: no changes since the start.");
    put(most, all ? `changes, most ${number.format(top)} in 15 min` : "no changes since the start");
    most.classList.toggle("key", all > 0);
    slowest.hidden = late <= 1;
    put(slowest, `slowest arrival ${span(late)}`);
    [...axis.children].slice(0, 4).forEach((label, at) => put(label, short.format((begin + at * 360) * 60_000)));
    const hours = [];
    for (let at = 0; at < BUCKETS; at += 4) {
      const four = buckets.slice(at, at + 4), changes = four.reduce((sum, one) => sum + one.changes, 0);
      const slow = Math.max(...four.map((one) => one.late));
      if (changes || slow) hours.push([short.format(four[0].at * 60_000), number.format(changes), size(four.reduce((sum, one) => sum + one.bytes, 0)), slow ? span(slow) : "–"]);
    }
    if (!hours.length) hours.push(["no changes yet", "", "", ""]);
    rows.replaceChildren(...hours.reverse().map((cells) => h("tr", {}, ...cells.map((cell) => h("td", {}, cell)))));
  }
  function shape(tag, props, told) {
    const made = document.createElementNS(SVG, tag);
    for (const [key, value] of Object.entries(props)) made.setAttribute(key, value);
    if (told) {
      const title = document.createElementNS(SVG, "title");
      title.textContent = told;
      made.append(title);
    }
    return made;
  }

  // ---- actions, trash, passes ----

  const about = (own) => new URLSearchParams({ job: own.job, replica: own.replica });
  const toneOfAction = (action) => (["error", "halt"].includes(action) ? "bad" : ["hold", "skip"].includes(action) ? "warn" : "");

  function action(event, end) {
    return h("li", {}, time(event.ts, "clock"), h("span", { class: `act ${toneOfAction(event.action)}` }, event.action),
      h("span", { class: "what" }, event.path === undefined ? null : path(event.path, event.path_bytes),
        event.reason ? h("span", { class: "because" }, escaped(event.reason)) : null),
      end ?? h("span", { class: "size" }, event.bytes ? size(event.bytes) : ""));
  }

  function happened(event) {
    const own = views.get(keyOf(event.job, event.replica));
    if (!own || ["pass-start", "pass-end"].includes(event.action) || own.events.includes(event.id)) return;
    own.events.push(event.id);
    own.quiet.hidden = true;
    const row = action(event);
    row.classList.add("new");
    own.list.prepend(row);
    if (own.list.children.length > KEPT) {
      own.list.lastElementChild.remove();
      own.events.shift();
    }
  }

  async function loadTrash(own) {
    const answer = await read(`/api/trash?${about(own)}&limit=${own.keptWanted ?? 50}`);
    if (!answer) return put(own.keptNote, "The trash cannot be read.");
    put(own.keptNote, answer.trash.length ? "" : "The trash is empty.");
    own.keptNote.hidden = answer.trash.length > 0;
    sync(own.kept, answer.trash, (one) => one.trash, (one) => {
      const shown = name(one.path, one.path_bytes);
      const button = h("button", { type: "button", class: "small", "aria-label": `Restore ${shown}`, onclick: () => restore(own, one) }, "Restore");
      return action({ ...one, reason: `${one.kind}, ${size(one.bytes)}; ${one.reason}` }, h("span", { class: "do" }, button));
    });
    more(own.trash.inside, answer.more, () => { own.keptWanted = (own.keptWanted ?? 50) * 3; loadTrash(own); });
  }

  async function loadPast(own) {
    const answer = await read(`/api/history?${about(own)}&limit=${own.pastWanted ?? 15}`);
    if (!answer) return put(own.pastNote, "The history cannot be read.");
    put(own.pastNote, "No pass has changed anything yet.");
    own.pastNote.hidden = answer.passes.length > 0;
    sync(own.passes, answer.passes, (one) => `${one.pass} ${one.ended}`, (one) => {
      const did = Object.entries(one.counts).map(([action, n]) => `${number.format(n)} ${action}`).join(", ");
      const rows = h("ol", { class: "rows" }, ...one.actions.map((event) => action(event)));
      const button = h("button", { type: "button", class: "small", "aria-label": `Undo pass ${one.pass}`, onclick: () => undo(own, one.pass) }, "Undo this pass…");
      return h("li", { class: "pass" }, h("details", {}, h("summary", {}, h("b", {}, `Pass ${one.pass}`), time(one.ended), h("span", { class: "count" }, did)),
        h("div", { class: "in" }, button, rows, one.more ? h("p", { class: "more" }, `and ${count(one.more, "action")} more; see the log`) : null)));
    });
    more(own.past.inside, answer.more, () => { own.pastWanted = (own.pastWanted ?? 15) * 3; loadPast(own); });
  }

  function more(inside, there, on) {
    inside.querySelector(":scope > button")?.remove();
    if (there) inside.append(h("button", { type: "button", class: "quiet", onclick: on }, "Show more"));
  }

  // ---- all of it ----

  function status(report) {
    if (last && (last.pid !== report.pid || last.since !== report.since)) {
      // Another process: its actions begin anew.
      for (const own of views.values()) { own.events = []; own.list.replaceChildren(); own.quiet.hidden = false; own.samples = []; }
    }
    last = report;
    const wanted = report.jobs.flatMap((job) => job.replicas.map((replica) => keyOf(job.name, replica.replica)));
    if (wanted.join("\n\n") !== [...views.keys()].join("\n\n") || !$("jobs").dataset.live) arrange(report, wanted);
    let wrong = 0;
    for (const job of report.jobs) for (const replica of job.replicas) {
      update(views.get(keyOf(job.name, replica.replica)), replica);
      wrong += replica.well ? 0 : 1;
    }
    const all = wanted.length;
    const verdict = wrong ? `${wrong} of ${count(all, "replica")} not well` : all === 1 ? "The replica is well" : `All ${all} replicas are well`;
    put($("verdict"), verdict);
    $("verdict").className = `verdict ${wrong ? "wrong" : ""}`;
    document.title = wrong ? `! ${verdict} · alike` : `${verdict} · alike`;
    if (!$("since").firstChild || $("since").dataset.at !== report.since) {
      $("since").dataset.at = report.since;
      $("since").replaceChildren("up since ", whole.format(new Date(report.since)), " · ");
    }
    overview(report, all);
    banner();
  }

  function arrange(report, wanted) {
    const jobs = $("jobs");
    for (const key of [...views.keys()]) if (!wanted.includes(key)) views.delete(key);
    const before = new Map(views);
    views.clear();
    jobs.dataset.live = "yes";
    const anchors = new Set([...before.values()].map((own) => own.anchor));
    let free = 0;
    jobs.replaceChildren(...report.jobs.map((job, at) => {
      const replicas = job.replicas.map((replica) => {
        const key = keyOf(job.name, replica.replica);
        while (anchors.has(`replica-${free}`)) free += 1;
        const own = before.get(key) ?? view(job.name, replica.replica, `replica-${free}`);
        anchors.add(own.anchor);
        views.set(key, own);
        return own.whole;
      });
      const button = h("button", { type: "button", class: "quiet small", "aria-label": `Compare everything of ${job.name} now`, onclick: () => pass(job.name) }, "Compare everything now");
      return h("section", { class: "job", "aria-labelledby": `job-${at}` },
        h("header", { class: "job-head" }, h("h2", { id: `job-${at}` }, escaped(job.name)), path(job.source, null, "p"), button), ...replicas);
    }));
    for (const own of views.values()) later(own);
  }

  function overview(report, all) {
    const nav = $("overview");
    nav.hidden = all < 2;
    if (nav.hidden) return nav.replaceChildren();
    if (!nav.firstChild) nav.append(h("ul"));
    const rows = report.jobs.flatMap((job) => job.replicas.map((replica) => ({ job: job.name, replica })));
    sync(nav.firstChild, rows, (row) => keyOf(row.job, row.replica.replica), (row) => h("li", {}, h("a", { href: `#${views.get(keyOf(row.job, row.replica.replica)).anchor}` },
      h("span", { class: "mark" }), h("b", {}, escaped(row.job)), h("span", { class: "told" }), path(row.replica.replica))));
    rows.forEach((row, at) => {
      const child = nav.firstChild.children[at];
      child.querySelector(".mark").className = `mark ${toneOf(row.replica)}`;
      put(child.querySelector(".told"), row.replica.state);
    });
  }

  function banner() {
    const told = [];
    if (lost) told.push(`Connection lost at ${clock.format(lost)}. What is shown is as it was then; trying again.`);
    if (last?.config_trouble) told.push(`The config file is broken; what was loaded before is in force:\n${last.config_trouble}`);
    const text = told.join("\n\n");
    if ($("banner").dataset.text !== text) {
      $("banner").dataset.text = text;
      $("banner").replaceChildren(...told.map((one) => h("p", {}, one)));
    }
    $("banner").hidden = !text;
    $("link").dataset.is = lost ? "lost" : "live";
    put($("link"), lost ? "connection lost" : "live");
  }

  // ---- the line to alike ----

  function connect() {
    source?.close();
    source = new EventSource("/api/events");
    const on = (kind, then) => source.addEventListener(kind, (event) => {
      heard = Date.now();
      if (lost) { lost = 0; banner(); }
      then({ ...JSON.parse(event.data), id: event.lastEventId });
    });
    on("status", status);
    on("event", happened);
    on("verdict", (verdict) => put($("live"), `${verdict.job}, ${verdict.replica}: ${verdict.is}${verdict.why ? `, ${verdict.why}` : ""}`));
    on("missed", () => {});
    source.onerror = () => {
      lost = lost || Date.now();
      banner();
      if (source.readyState === EventSource.CLOSED) setTimeout(connect, 2000);
    };
  }
  setInterval(() => {
    for (const shown of document.querySelectorAll("time[data-ago]")) put(shown, ago(shown.dataset.ago));
    for (const own of views.values()) tick(own);
    if (heard && Date.now() - heard > SILENCE) {
      lost = lost || Date.now();
      heard = Date.now();
      banner();
      connect();
    }
  }, 1000);
  setInterval(() => { for (const own of views.values()) own.day.load(); }, 60_000);

  async function read(address) {
    try {
      const answer = await fetch(address);
      return answer.ok ? await answer.json() : null;
    } catch {
      return null;
    }
  }

  // ---- changes ----

  function keep(given) {
    token = given;
    try { given ? sessionStorage.setItem("token", given) : sessionStorage.removeItem("token"); } catch { /* kept for this page alone */ }
    $("lock").hidden = false;
    put($("lock"), given ? "Lock changes" : "Unlock changes");
  }

  /** Asks for the token where it is not known. */
  function unlocked(why = "") {
    if (token && !why) return Promise.resolve(true);
    put($("unlock-why"), why);
    $("token").value = "";
    return new Promise((done) => {
      const box = $("unlock");
      const yes = () => { if ($("token").value.trim()) { keep($("token").value.trim().replace(/^.*#token=/, "")); box.close("yes"); } else put($("unlock-why"), "Paste the token first."); };
      $("unlock-form").onsubmit = (event) => { event.preventDefault(); yes(); };
      $("unlock-no").onclick = () => box.close("no");
      box.returnValue = "";
      box.onclose = () => done(box.returnValue === "yes");
      box.showModal();
      $("token").focus();
    });
  }

  async function change(address, wish) {
    const answer = await fetch(address, { method: "POST", headers: { "content-type": "application/json", "x-alike-token": token }, body: JSON.stringify(wish) });
    if (answer.ok) return answer.json();
    const why = (await answer.text()).trim();
    if (answer.status === 401) {
      keep("");
      if (await unlocked(why)) return change(address, wish);
    }
    throw new Error(why);
  }

  /** Asks, does it while the dialog stands, and says what came of it. */
  function ask({ title, text, rows, yes, act }) {
    const box = $("ask"), list = $("ask-rows");
    put($("ask-title"), title);
    put($("ask-text"), text);
    put($("ask-why"), "");
    list.replaceChildren(...(rows?.length ? [h("ul", { class: "rows" }, ...rows)] : []));
    list.hidden = !rows?.length;
    const [no, go] = [$("ask-no"), $("ask-yes")];
    put(no, "Cancel");
    put(go, yes ?? "");
    go.hidden = !act;
    go.disabled = false;
    no.onclick = () => box.close();
    go.onclick = async () => {
      go.disabled = true;
      put(go, "Working…");
      try {
        const done = await act();
        ask({ title: "Done", text: [done.text, done.more && typeof done.more === "string" ? done.more : ""].filter(Boolean).join("\n"), rows: (done.failed ?? []).map((one) => action({ ...one, ts: new Date().toISOString(), action: "error" })) });
      } catch (error) {
        put($("ask-why"), error.message || "alike does not answer");
        go.hidden = true;
        put(no, "Close");
      }
    };
    if (!act) put(no, "Close");
    if (!box.open) box.showModal();
    (act ? go : no).focus();
  }

  const wishOf = (own) => ({ job: own.job, replica: own.replica });

  async function restore(own, one) {
    if (!(await unlocked())) return;
    const wish = { ...wishOf(own), path: one.path, at: one.at, ...(one.path_bytes ? { path_bytes: one.path_bytes } : {}) };
    ask({
      title: `Restore ${name(one.path, one.path_bytes)}?`,
      text: `It comes back on the replica as it was at ${whole.format(new Date(one.at))}; what is there now goes to the trash. The mirror is then held, or its next pass would take it away again: copy it to the source, then let the mirror go on.`,
      yes: "Restore",
      act: () => change("/api/restore", wish),
    });
  }

  async function undo(own, pass) {
    if (!(await unlocked())) return;
    try {
      const seen = await change("/api/undo", { ...wishOf(own), pass });
      const { steps, left } = seen.undone;
      ask({
        title: `Undo pass ${pass}?`,
        text: steps ? `${count(steps, "step")}${left ? `; ${left} left alone` : ""}. The mirror is then held, or it would do it again, until you let it go on.` : left ? "Nothing of it can be undone." : "It is as it was before.",
        rows: seen.actions.map((event) => action(event)),
        yes: `Undo ${count(steps, "step")}`,
        act: steps ? () => change("/api/undo", { ...wishOf(own), pass, steps }) : null,
      });
    } catch (error) {
      ask({ title: `Undo pass ${pass}`, text: error.message });
    }
  }

  async function resume(own) {
    if (!(await unlocked())) return;
    ask({
      title: "Let the mirror go on?",
      text: "The next pass makes this replica like the source again. What was brought back and is not in the source goes to the trash again.",
      yes: "Let it go on",
      act: () => change("/api/resume", wishOf(own)),
    });
  }

  async function pass(job) {
    if (!(await unlocked())) return;
    try {
      await change("/api/pass", { job });
      put($("live"), `A pass of ${job} begins`);
    } catch (error) {
      ask({ title: "Compare everything now", text: error.message });
    }
  }

  const given = /^#token=([0-9a-f]+)$/.exec(location.hash)?.[1];
  if (given) history.replaceState(null, "", location.pathname);
  let before = "";
  try { before = sessionStorage.getItem("token") ?? ""; } catch { /* none is kept */ }
  keep(given ?? before);
  $("lock").onclick = () => (token ? keep("") : unlocked());
  addEventListener("hashchange", () => {
    const given = /^#token=([0-9a-f]+)$/.exec(location.hash)?.[1];
    if (given) { keep(given); history.replaceState(null, "", location.pathname); }
  });
  connect();
})();
