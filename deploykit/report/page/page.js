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
      const match = /^[<>]?\s*(-?[\d,]*\.?\d+(?:(?:e|\u00d710\^)[-+]?\d+)?)/.exec(text);
      return match ? parseFloat(match[1].replace(/,/g, "").replace("\u00d710^", "e")) : NaN;
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

  function layerGraphs(root) {
    const graphs = all(".graph svg", root).map((svg) => {
      const [width, height] = svg.dataset.size.split(" ").map(Number);
      const start = Number(svg.dataset.start);
      return { svg, width, height, start, box: svg.parentElement, title: svg.parentElement.previousElementSibling };
    });
    // What is seen of all graphs alike: a place from the first layer's middle, and units that the height shows.
    const whole = () => Math.max(...graphs.map((one) => {
      const ratio = Math.max(1, one.box.clientWidth) / Math.max(1, one.box.clientHeight);
      return Math.max(one.height + 20, (one.width + 20) / ratio);
    }));
    const middle = () => ({ x: graphs[0].width / 2 - graphs[0].start, y: graphs[0].height / 2, tall: whole() });
    const seen = middle();
    const draw = () => {
      for (const one of graphs) {
        const high = Math.max(1, one.box.clientHeight), wide = (seen.tall * Math.max(1, one.box.clientWidth)) / high;
        one.scale = seen.tall / high;
        const left = one.start + seen.x - wide / 2, top = seen.y - seen.tall / 2;
        one.svg.setAttribute("viewBox", `${left} ${top} ${wide} ${seen.tall}`);
      }
    };
    const zoom = (factor) => {
      seen.tall = Math.min(whole(), Math.max(160, seen.tall / factor));
      draw();
    };
    const move = (one, dx, dy) => {
      seen.x = Math.min(one.width - one.start, Math.max(-one.start, seen.x - dx * one.scale));
      seen.y = Math.min(one.height, Math.max(0, seen.y - dy * one.scale));
      draw();
    };
    const rowOf = (node, title) => {
      const part = document.createElement("div"), head = document.createElement("h3"), list = document.createElement("dl");
      head.textContent = title;
      for (const line of node.dataset.d.split("\n")) {
        const at = line.indexOf(": "), key = line.slice(0, at), value = line.slice(at + 2);
        const name = document.createElement("dt"), text = document.createElement("dd");
        name.textContent = key;
        text.textContent = value;
        list.append(name, text);
      }
      part.append(head, list);
      return part;
    };
    const choose = (name) => {
      const both = document.createElement("div");
      both.className = "both";
      for (const one of graphs) {
        for (const node of all(".node", one.svg)) {
          const on = node.dataset.n === name;
          node.classList.toggle("chosen", on);
          if (on) both.append(rowOf(node, one.title.textContent));
        }
      }
      document.getElementById("layer").replaceChildren(both);
    };
    for (const one of graphs) {
      const held = new Map();
      let moved = 0, apart = 0;
      one.svg.addEventListener("wheel", (event) => {
        event.preventDefault();
        zoom(Math.exp(-event.deltaY / 400));
      }, { passive: false });
      one.svg.addEventListener("pointerdown", (event) => {
        held.set(event.pointerId, [event.clientX, event.clientY]);
        moved = 0;
        apart = 0;
      });
      one.svg.addEventListener("pointermove", (event) => {
        const before = held.get(event.pointerId);
        if (!before) return;
        held.set(event.pointerId, [event.clientX, event.clientY]);
        const dx = event.clientX - before[0], dy = event.clientY - before[1];
        moved += Math.abs(dx) + Math.abs(dy);
        if (held.size === 1) return move(one, dx, dy);
        const [a, b] = [...held.values()], now = Math.hypot(a[0] - b[0], a[1] - b[1]);
        if (apart) zoom(now / apart);
        apart = now;
      });
      for (const kind of ["pointerup", "pointercancel", "pointerleave"]) {
        one.svg.addEventListener(kind, (event) => held.delete(event.pointerId));
      }
      one.svg.addEventListener("click", (event) => {
        const node = event.target.closest(".node");
        if (node && moved < 6) choose(node.dataset.n);
      });
      one.svg.addEventListener("keydown", (event) => {
        const node = event.target.closest(".node");
        if (node && (event.key === "Enter" || event.key === " ")) {
          event.preventDefault();
          choose(node.dataset.n);
        }
      });
    }
    const by = document.getElementById("by");
    by.addEventListener("change", () => { root.dataset.by = by.value; });
    root.dataset.by = by.value;
    for (const button of all("[data-zoom]")) {
      button.addEventListener("click", () => {
        const factor = Number(button.dataset.zoom);
        if (factor) return zoom(factor);
        Object.assign(seen, middle());
        draw();
      });
    }
    // A deep graph as a whole would be unreadable: begin at its top, where boxes have their own size.
    const own = 1.15 * graphs[0].box.clientHeight;
    if (seen.tall > 2 * own) Object.assign(seen, { x: 0, y: own / 2 - 15, tall: own });
    draw();
    addEventListener("resize", draw);
  }

  if (table) rowTable();
  const graphs = document.getElementById("graphs");
  if (graphs) layerGraphs(graphs);
})();
