  // Words, names and elements: what all the rest of the page's script is made with.

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

