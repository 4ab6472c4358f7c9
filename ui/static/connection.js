// The fields of a connection string: a password is taken out of what is pasted, and what was typed is read as it is typed.
"use strict";
(() => {
  const WAIT_MS = 250;
  const { csrf } = window.assistant;
  const SCHEME = /^(.*?[a-z][a-z0-9+:.-]*:\/\/)([^:/?#@[\]]*):(.+)@(.*)$/is;
  const QUERY = /([?&])password=([^&#]*)(&?)/i;
  const PAIR = /(^|\s)password\s*=\s*('(?:[^'\\]|\\.)*'?|(?:[^\s\\]|\\.)+)\s*/i;
  const decoded = (text) => { try { return decodeURIComponent(text); } catch { return text; } };

  // The string without its password, and the password; null if it has none. A port is no password.
  function split(text) {
    const uri = SCHEME.exec(text);
    if (uri && !/^\d{1,5}([/?].*)?$/.test(uri[3])) return { text: `${uri[1]}${uri[2]}@${uri[4]}`, password: decoded(uri[3]) };
    const query = text.includes("://") && QUERY.exec(text);
    if (query) return { text: text.replace(QUERY, (all, before, value, after) => (after ? before : "")), password: decoded(query[2]) };
    const pair = !text.includes("://") && PAIR.exec(text);
    if (!pair) return null;
    const raw = pair[2].startsWith("'") ? pair[2].replace(/^'|'$/g, "") : pair[2];
    return { text: text.replace(PAIR, "$1").trim(), password: raw.replace(/\\(.)/g, "$1") };
  }
  // Whether a password stands there, or is being typed.
  function isSecret(text) {
    if (split(text)) return true;
    const rest = /:\/\/[^:/?#@[\]]*:([^@]*)$/.exec(text)?.[1];
    return rest !== undefined && !/^\d{0,5}([/?,].*)?$/.test(rest);
  }

  const parts = (box) => ({
    string: box.querySelector('input[name="connection"]'), password: box.querySelector('input[name="password"]'),
    meaning: box.querySelector("[data-meaning]"), error: box.querySelector(".connection-error"), reveal: box.querySelector(".reveal"),
  });
  function mask({ string }) {
    const type = isSecret(string.value) ? "password" : "text";
    if (string.type === type) return;
    const at = string.selectionStart;
    string.type = type;
    if (document.activeElement === string) string.setSelectionRange(at, at);
  }
  function take(box) {
    const fields = parts(box), found = split(fields.string.value);
    if (found?.password) {
      fields.string.value = found.text;
      fields.password.value = found.password;
      fields.string.dataset.touched = fields.password.dataset.touched = "1";
      window.assistant.say("The password was moved into its own field.");
    }
    mask(fields);
  }

  const waiting = new WeakMap();
  function read(box) {
    clearTimeout(waiting.get(box)?.timer);
    waiting.get(box)?.asking?.abort();
    const asking = new AbortController();
    waiting.set(box, { asking, timer: setTimeout(() => ask(box, asking), WAIT_MS) });
  }
  async function ask(box, asking) {
    const { string, password, meaning } = parts(box);
    if (!string.value.trim()) { meaning.replaceChildren(); string.removeAttribute("aria-invalid"); return; }
    const body = new URLSearchParams({ connection: string.value, password: password.value });
    const headers = { "x-requested-with": "app", "x-csrf": csrf };
    try {
      const answer = await fetch("/check/parse", { method: "POST", body, headers, signal: asking.signal });
      if (!answer.ok) return;
      const { ok, html } = await answer.json();
      meaning.innerHTML = html;
      if (ok) string.removeAttribute("aria-invalid"); else string.setAttribute("aria-invalid", "true");
      string.closest(".field").classList.toggle("wrong", !ok);
    } catch { /* It was typed on, or the page says already that nobody answers. */ }
  }

  document.addEventListener("input", (event) => {
    const box = event.target.closest?.("[data-connection]");
    if (!box) return;
    const typing = event.inputType === "insertText" || event.inputType?.startsWith("delete");
    const ends = event.target.value.includes("://") ? event.data === "@" : event.data === " ";
    if (event.target.name === "connection" && (!typing || ends)) take(box); else mask(parts(box));
    const { error } = parts(box);
    if (error) error.hidden = true;
    read(box);
  });
  for (const kind of ["change", "focusout"]) {
    document.addEventListener(kind, (event) => {
      const box = event.target.closest?.("[data-connection]");
      if (box && event.target.name === "connection") take(box);
    });
  }
  document.addEventListener("submit", (event) => event.target.querySelectorAll?.("[data-connection]").forEach(take), true);
  document.addEventListener("click", (event) => {
    const button = event.target.closest?.(".reveal");
    if (!button) return;
    const { password } = parts(button.closest("[data-connection]"));
    const shows = password.type === "password";
    password.type = shows ? "text" : "password";
    password.dataset.touched = "1";
    button.textContent = shows ? "Hide" : "Show";
    button.setAttribute("aria-label", shows ? "Hide the password" : "Show the password");
    button.setAttribute("aria-pressed", String(shows));
  });
  const begin = () => document.querySelectorAll("[data-connection]").forEach((box) => mask(parts(box)));
  document.addEventListener("placed", begin);
  begin();
})();
