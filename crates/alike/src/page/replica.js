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
      // Its job may be gone from the config by now.
      if (views.get(keyOf(own.job, own.replica)) !== own) return;
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

