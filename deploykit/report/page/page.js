"use strict";
// The page is whole without this script: it filters and sorts the table, and lets graphs be zoomed.
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const table = document.getElementById("rows");

  function rowTable() {
    const body = table.tBodies[0], rows = [...body.rows];
    const texts = rows.map((row) => row.textContent.toLowerCase());
    const marks = new Map();
    for (const mark of all("main [data-r]")) {
      if (mark.closest("#rows")) continue;
      const key = mark.dataset.r;
      if (!marks.has(key)) marks.set(key, []);
      marks.get(key).push(mark.closest(".sheet[data-r]") || mark);
    }
    for (const row of rows) {
      for (const mark of marks.get(row.dataset.r) || []) {
        if (!mark.matches("circle, path.m, path.h") || mark.firstChild) continue;
        const title = document.createElementNS("http://www.w3.org/2000/svg", "title");
        title.textContent = row.dataset.t;
        mark.append(title);
      }
    }
    const form = document.getElementById("filters"), box = document.getElementById("filter");
    const apply = () => {
      const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
      const states = new Set(all("input[type=checkbox]:checked", form).map((one) => one.value));
      let shown = 0;
      rows.forEach((row, place) => {
        const on = states.has(row.dataset.s) && words.every((word) => texts[place].includes(word));
        row.hidden = !on;
        shown += on;
        for (const mark of marks.get(row.dataset.r) || []) mark.classList.toggle("off", !on);
      });
      document.getElementById("shown").textContent = `${shown} of ${rows.length} rows`;
    };
    form.addEventListener("input", apply);
    form.addEventListener("submit", (event) => event.preventDefault());

    const number = (text) => {
      const match = /^[<>]?\s*(-?[\d,]*\.?\d+(?:e[-+]?\d+)?)/.exec(text);
      return match ? parseFloat(match[1].replace(/,/g, "")) : NaN;
    };
    all("th", table).forEach((head, column) => {
      head.firstChild.addEventListener("click", () => {
        const up = head.getAttribute("aria-sort") !== "ascending";
        for (const one of all("th", table)) one.setAttribute("aria-sort", "none");
        head.setAttribute("aria-sort", up ? "ascending" : "descending");
        const numeric = rows.some((row) => row.cells[column].classList.contains("n"));
        const keyed = rows.map((row, place) => {
          const text = row.cells[column].textContent.trim();
          return { row, place, key: numeric ? number(text) : text };
        });
        const blank = (one) => (numeric ? Number.isNaN(one.key) : !one.key || one.key === "–");
        keyed.sort((a, b) => {
          // What has no value stands last in both directions.
          if (blank(a) || blank(b)) return blank(a) - blank(b) || a.place - b.place;
          const order = numeric ? a.key - b.key : a.key.localeCompare(b.key, undefined, { numeric: true });
          return (up ? order : -order) || a.place - b.place;
        });
        body.append(...keyed.map((one) => one.row));
      });
    });
    apply();
  }

  if (table) rowTable();
})();
