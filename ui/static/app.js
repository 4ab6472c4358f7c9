// Keeps a page current. The server draws; this puts what it drew into place, sends forms without leaving the page, and copies.
"use strict";
(() => {
  const body = document.body;
  document.documentElement.classList.add("js");
  const csrf = document.querySelector('meta[name="csrf"]')?.content ?? "";
  const say = (text) => { document.getElementById("said").textContent = text; };

  // --- Putting new markup into place: what is the same stays, so focus, opened details, scroll and typed values do too.
  const keyOf = (node) => node.nodeType === 1 ? node.id || node.dataset.key || "" : "";
  const alike = (a, b) => a.nodeType === b.nodeType && a.nodeName === b.nodeName && keyOf(a) === keyOf(b);
  function attributes(from, to) {
    for (const { name, value } of to.attributes) {
      if (from.getAttribute(name) !== value && !kept(from, name)) from.setAttribute(name, value);
    }
    for (const { name } of [...from.attributes]) {
      if (!to.hasAttribute(name) && !kept(from, name)) from.removeAttribute(name);
    }
  }
  // What people have changed is theirs.
  const kept = (node, name) =>
    (node.nodeName === "DETAILS" && name === "open" && node.dataset.touched) || (name === "hidden" && node.dataset.own) ||
    (node.nodeName === "INPUT" && ["value", "checked", "type"].includes(name) && node.dataset.touched) || name === "data-touched";
  function morph(from, to) {
    if (from.nodeType === 3) { if (from.data !== to.data) from.data = to.data; return; }
    if (from.nodeType !== 1) return;
    if (from.dataset.own !== undefined) return;
    attributes(from, to);
    if (from.nodeName === "TEXTAREA" && from.dataset.touched) return;
    children(from, to);
    if (from.nodeName === "PROGRESS" && to.hasAttribute("value")) from.value = to.value;
  }
  function children(from, to) {
    const keyed = new Map([...from.childNodes].filter(keyOf).map((node) => [keyOf(node), node]));
    let at = from.firstChild;
    for (const next of [...to.childNodes]) {
      const same = keyOf(next) ? keyed.get(keyOf(next)) : null;
      if (same && same !== at && alike(same, next)) { from.insertBefore(same, at); at = same; }
      while (at && !alike(at, next) && keyOf(at) && !keyOf(next) && to.querySelector(`#${CSS.escape(keyOf(at))}`) === null) {
        const gone = at; at = at.nextSibling; gone.remove();
      }
      if (at && alike(at, next)) { morph(at, next); at = at.nextSibling; }
      else from.insertBefore(next, at);
    }
    while (at) { const gone = at; at = at.nextSibling; gone.remove(); }
  }
  function place(id, html) {
    const part = document.getElementById(`part-${id}`);
    if (!part) return;
    const next = document.createElement("template");
    next.innerHTML = html;
    children(part, next.content);
    part.dispatchEvent(new CustomEvent("placed", { bubbles: true }));
  }

  // --- The stream.
  const strip = document.getElementById("connection");
  let stream = null, lost = 0, last = "";
  // Browsers keep few connections to one server, so a page that nobody sees gives its own back.
  function listen() {
    if (stream || document.hidden) return;
    const query = new URLSearchParams(body.dataset.query);
    if (last) query.set("last", last);
    stream = new EventSource(`/live/${body.dataset.step}?${query}`);
    const heard = (event) => { last = event.lastEventId || last; return JSON.parse(event.data); };
    stream.addEventListener("part", (event) => { const { id, html } = heard(event); place(id, html); });
    stream.addEventListener("rows", (event) => document.dispatchEvent(new CustomEvent("rows", { detail: heard(event) })));
    stream.onopen = () => { lost = 0; strip.hidden = true; };
    stream.onerror = async () => {
      if (stream?.readyState !== EventSource.CLOSED) {
        if (++lost > 1) gone("The connection to neon-migrate was lost; trying again. What it does goes on, if it is running.");
        return;
      }
      stream = null;
      await whyClosed();
      setTimeout(listen, 2000);
    };
  }
  const silence = () => { stream?.close(); stream = null; };
  addEventListener("pagehide", silence);
  document.addEventListener("visibilitychange", () => (document.hidden ? silence() : body.dataset.step && listen()));
  async function whyClosed() {
    try {
      const answer = await fetch("/check", { method: "HEAD" });
      gone(answer.status === 401 ? "neon-migrate was started again, and does not know this page. Open the link that it printed." : "The page could not be kept current; trying again.");
    } catch { gone("neon-migrate is not running any more. Start it again with neon-migrate ui: what was finished is kept."); }
  }
  function gone(text) { if (strip.textContent !== text) strip.textContent = text; strip.hidden = false; }
  if (body.dataset.step) listen();

  // --- Forms: sent in place, so that nothing that is open or typed is lost.
  document.addEventListener("submit", async (event) => {
    const form = event.target;
    if (form.method !== "post" || form.dataset.plain !== undefined || event.defaultPrevented) return;
    event.preventDefault();
    const button = event.submitter;
    const data = new URLSearchParams(new FormData(form, button));
    if (button) button.setAttribute("aria-busy", "true");
    try {
      const answer = await fetch(button?.getAttribute("formaction") ?? form.getAttribute("action"), {
        method: "POST", body: data, headers: { "x-requested-with": "app", "x-csrf": csrf }, redirect: "follow",
      });
      if (answer.status === 204) untouch(form);
      else if (answer.headers.get("content-type")?.includes("json")) show(form, await answer.json());
      else if (answer.redirected) location.assign(answer.url);
      else gone(new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("main p")?.textContent ?? "It was refused.");
    } catch { gone("neon-migrate could not be reached; nothing was sent."); }
    finally { button?.removeAttribute("aria-busy"); }
  });
  const untouch = (form) => form.querySelectorAll("[data-touched]").forEach((field) => delete field.dataset.touched);
  // An answer may bring parts of its own, such as an error at a field, or something secret that no stream carries.
  function show(form, answer) {
    for (const { id, html } of answer.parts ?? []) place(id, html);
    // What is shown for a while only.
    if (answer.then) setTimeout(() => answer.then.forEach(({ id, html }) => place(id, html)), answer.after_s * 1000);
    if (answer.said) say(answer.said);
    if (answer.go) location.assign(answer.go);
  }
  const touched = (event) => { if (event.target.matches?.("input, textarea, select")) event.target.dataset.touched = "1"; };
  document.addEventListener("input", touched);
  document.addEventListener("change", touched);
  document.addEventListener("click", (event) => {
    const details = event.target.closest?.("summary")?.parentElement;
    if (details) details.dataset.touched = "1";
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") document.querySelectorAll("details.menu[open]").forEach((menu) => { menu.open = false; });
  });

  // --- Copying.
  document.addEventListener("click", async (event) => {
    const button = event.target.closest?.("button.copy");
    if (!button) return;
    await copyText(button.closest(".code").querySelector("pre").textContent);
    button.textContent = "Copied";
    say("Copied.");
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
  async function copyText(text) {
    try { await navigator.clipboard.writeText(text); return; } catch { /* An older browser, or a page that is not on this machine. */ }
    const area = document.createElement("textarea");
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  window.assistant = { csrf, place, say };
})();
