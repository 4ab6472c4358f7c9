// The table of tables: sorted, searched and kept current with ten thousand of them, by drawing only the rows that are seen.
"use strict";
(() => {
  const ROW = 36, SPARE = 8;
  // id, name, class, word, order of the state, rows, bytes, percent, whether it waits, rate
  const [NAME, CLASS, WORD, ORDER, ROWS, BYTES, PERCENT, WAITS, RATE] = [1, 2, 3, 4, 5, 6, 7, 8, 9];
  const columns = { name: NAME, state: ORDER, rows: ROWS, bytes: BYTES, rate: RATE };
  const byId = new Map();
  let list = [], sort = "state", falling = false, find = "", due = false, stale = true, sortedAt = 0, box = null, body = null;
  const number = new Intl.NumberFormat("en-US");
  function size(value) {
    const units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let unit = 0;
    while (value >= 1024 && unit < 4) { value /= 1024; unit++; }
    return `${unit ? value.toFixed(1) : value} ${units[unit]}`;
  }
  function take() {
    const found = document.getElementById("tables-list");
    if (!found || found === box) return;
    box = found;
    box.classList.add("virtual");
    box.querySelector("nav")?.remove();
    body = box.querySelector("tbody");
    body.replaceChildren();
    box.addEventListener("scroll", draw, { passive: true });
    box.querySelectorAll("th[data-sort]").forEach((head) => head.firstElementChild.addEventListener("click", (event) => {
      event.preventDefault();
      const name = head.dataset.sort;
      falling = name === sort ? !falling : ["rows", "bytes", "rate"].includes(name);
      sort = name;
      stale = true; sortedAt = 0;
      draw();
    }));
    const field = document.getElementById("tables-find");
    field.form.addEventListener("submit", (event) => event.preventDefault());
    field.addEventListener("input", () => { find = field.value.toLowerCase(); stale = true; sortedAt = 0; box.scrollTop = 0; draw(); });
    find = field.value.toLowerCase();
    stale = true; sortedAt = 0;
    draw();
  }
  function draw() {
    if (due || !box) return;
    due = true;
    requestAnimationFrame(() => { due = false; if (box.isConnected) { arrange(); paint(); } });
  }
  // What moves is put in order once a second, so that rows do not jump under the eye.
  function arrange() {
    const now = performance.now();
    if (!stale || now - sortedAt < 1000) { if (stale) setTimeout(draw, 1000); return; }
    stale = false; sortedAt = now;
    const all = [...byId.values()];
    list = find ? all.filter((row) => row.lower.includes(find)) : all;
    const column = columns[sort], sign = falling ? -1 : 1;
    list.sort((a, b) => {
      const [x, y] = [a.data[column] ?? -1, b.data[column] ?? -1];
      const order = x < y ? -1 : x > y ? 1 : 0;
      return order * sign || (a.data[NAME] < b.data[NAME] ? -1 : 1);
    });
    document.getElementById("tables-count").textContent = `${number.format(list.length)} of ${number.format(byId.size)} ${byId.size === 1 ? "table" : "tables"}`;
    box.querySelectorAll("th[data-sort]").forEach((head) => head.setAttribute("aria-sort", head.dataset.sort !== sort ? "none" : falling ? "descending" : "ascending"));
    box.querySelector("table").setAttribute("aria-rowcount", list.length + 1);
  }
  function line() {
    const row = document.createElement("tr");
    for (const name of ["name mono", "state", "rows n", "bytes n", "rate n"]) {
      const cell = document.createElement("td");
      cell.className = name.split(" ").map((word, at) => (at ? word : `c-${word}`)).join(" ");
      row.append(cell);
    }
    const icon = document.createElement("span");
    icon.setAttribute("aria-hidden", "true");
    row.children[1].append(icon, document.createTextNode(""));
    return row;
  }
  const put = (node, text) => { if (node.data !== undefined ? node.data !== text : node.textContent !== text) node.data !== undefined ? (node.data = text) : (node.textContent = text); };
  function fill(row, data, at) {
    const [name, state, rows, bytes, rate] = row.children;
    row.setAttribute("aria-rowindex", at + 2);
    put(name, data[NAME]); name.title = data[NAME];
    const kind = `state-icon ${data[CLASS]}`;
    if (state.firstChild.className !== kind) state.firstChild.className = kind;
    put(state.lastChild, data[CLASS] === "running" ? `${data[WORD]} ${data[PERCENT]} %` : data[WORD]);
    const about = data[WAITS] ? "about " : "";
    put(rows, about + number.format(data[ROWS]));
    put(bytes, about + size(data[BYTES]));
    put(rate, data[RATE] == null ? "–" : `${size(data[RATE])}/s`);
  }
  let above = null, below = null;
  function paint() {
    if (!above || above.parentNode !== body) {
      above = document.createElement("tr"); below = document.createElement("tr");
      for (const space of [above, below]) { space.setAttribute("aria-hidden", "true"); space.className = "space"; space.append(document.createElement("td")); space.firstChild.colSpan = 5; }
      body.replaceChildren(above, below);
    }
    const seen = Math.ceil(box.clientHeight / ROW) + 2 * SPARE;
    const first = Math.max(0, Math.min(Math.floor(box.scrollTop / ROW) - SPARE, list.length - seen));
    const last = Math.min(list.length, first + seen);
    while (body.childElementCount - 2 < last - first) below.before(line());
    while (body.childElementCount - 2 > last - first) below.previousSibling.remove();
    let row = above.nextSibling;
    for (let at = first; at < last; at++, row = row.nextSibling) fill(row, list[at].data, at);
    above.firstChild.style.height = `${first * ROW}px`; above.hidden = first === 0;
    below.firstChild.style.height = `${(list.length - last) * ROW}px`; below.hidden = last === list.length;
  }
  document.addEventListener("rows", ({ detail }) => {
    if (detail.all) byId.clear();
    for (const data of detail.tables) {
      const known = byId.get(data[0]);
      if (known && known.data[NAME] === data[NAME]) known.data = data;
      else byId.set(data[0], { data, lower: data[NAME].toLowerCase() });
    }
    stale = true;
    if (detail.all) sortedAt = 0;
    draw();
  });
  document.addEventListener("placed", take);
  take();
})();
