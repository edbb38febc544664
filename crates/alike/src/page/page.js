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
    for (const job of last?.jobs ?? []) for (const why of job.hook_troubles ?? []) told.push(`${job.name}: ${why}`);
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
