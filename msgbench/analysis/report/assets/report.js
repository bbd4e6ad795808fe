// What the pages can do beyond reading: sort and filter tables, enlarge pictures, read numbers off curves.
// Everything is there without it; nothing is fetched.
"use strict";

(() => {
  // ---- tables

  const textOf = (cell) => (cell ? cell.textContent.trim() : "");

  const numberOf = (text) => {
    const found = text.replaceAll(",", "").match(/^[+\-−]?\d+(\.\d+)?(e[+\-]?\d+)?/i);
    return found ? Number(found[0].replace("−", "-")) : null;
  };

  // The n-th column's cells, counted with colspan, so that a head of groups does not mislead.
  const cellAt = (row, index) => {
    let place = 0;
    for (const cell of row.cells) {
      if (place === index) return cell;
      place += cell.colSpan;
    }
    return null;
  };

  const sortBy = (table, index, downwards) => {
    const body = table.tBodies[0];
    const keyed = [...body.rows].map((row) => {
      const text = textOf(cellAt(row, index));
      return { row, text, number: numberOf(text) };
    });
    keyed.sort((a, b) => {
      if ((a.text === "") !== (b.text === "")) return a.text === "" ? 1 : -1; // empty ones last, always
      const order = a.number !== null && b.number !== null
        ? a.number - b.number
        : a.text < b.text ? -1 : Number(a.text > b.text);
      return downwards ? -order : order;
    });
    body.append(...keyed.map((entry) => entry.row));
  };

  for (const table of document.querySelectorAll("table.sortable")) {
    if (table.tBodies[0].rows.length < 2) continue;
    const heads = [...table.tHead.rows].at(-1).cells;
    let place = 0;
    for (const head of heads) {
      const index = place;
      place += head.colSpan;
      if (textOf(head) === "") continue;
      const button = document.createElement("button");
      button.type = "button";
      button.className = "sort";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const downwards = head.getAttribute("aria-sort") === "ascending";
        for (const other of heads) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", downwards ? "descending" : "ascending");
        sortBy(table, index, downwards);
      });
    }
  }

  for (const table of document.querySelectorAll("table.filterable")) {
    const rows = [...table.tBodies[0].rows];
    const label = document.createElement("label");
    label.className = "filter";
    const field = document.createElement("input");
    field.type = "search";
    const count = document.createElement("span");
    count.setAttribute("role", "status");
    label.append("Show only rows with ", field);
    const holder = document.createElement("p");
    holder.append(label, " ", count);
    table.parentElement.before(holder);
    field.addEventListener("input", () => {
      const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      for (const row of rows) {
        const text = row.textContent.toLowerCase();
        row.hidden = !words.every((word) => text.includes(word));
        shown += row.hidden ? 0 : 1;
      }
      count.textContent = words.length ? `${shown} of ${rows.length} rows` : "";
    });
  }

  // ---- pictures

  const pictures = [...document.querySelectorAll("a.zoom")];
  if (pictures.length && typeof HTMLDialogElement === "function") {
    const dialog = document.createElement("dialog");
    dialog.className = "viewer";
    dialog.setAttribute("aria-label", "Picture");
    const image = document.createElement("img");
    const caption = document.createElement("p");
    const bar = document.createElement("form");
    bar.method = "dialog";
    let current = 0;

    const show = (index) => {
      current = (index + pictures.length) % pictures.length;
      const link = pictures[current];
      image.src = link.href;
      image.alt = link.querySelector("img").alt;
      caption.textContent = image.alt;
    };
    const button = (text, action) => {
      const made = document.createElement("button");
      made.textContent = text;
      if (action) {
        made.type = "button";
        made.addEventListener("click", action);
      }
      bar.append(made);
    };
    button("Previous", () => show(current - 1));
    button("Next", () => show(current + 1));
    button("Actual size", () => image.classList.toggle("actual"));
    button("Close", null);
    // Few pixels are shown as such, many are made to fit.
    image.addEventListener("load", () => image.classList.toggle("few", image.naturalWidth < 800));
    dialog.append(bar, image, caption);
    document.body.append(dialog);
    dialog.addEventListener("keydown", (event) => {
      if (event.key === "ArrowLeft") show(current - 1);
      if (event.key === "ArrowRight") show(current + 1);
    });
    pictures.forEach((link, index) => link.addEventListener("click", (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
      event.preventDefault();
      show(index);
      dialog.showModal();
    }));
  }

  // ---- curves

  const tip = document.createElement("div");
  tip.className = "tip";
  tip.hidden = true;
  document.body.append(tip);

  const marks = new Map();
  const pointsOf = (line) => {
    const drawn = line.getAttribute("points").split(" ");
    const stated = line.dataset.points.split(" ");
    return drawn.map((pair, i) => {
      const [x, y] = pair.split(",").map(Number);
      const [sx, sy] = (stated[i] ?? stated[0]).split(",");
      return { x, y, sx, sy, label: line.dataset.label };
    });
  };

  for (const chart of document.querySelectorAll("svg.chart[data-y]")) {
    const lines = [...chart.querySelectorAll("polyline:not(.level)")].flatMap(pointsOf);
    if (!lines.length) continue;
    const mark = document.createElementNS("http://www.w3.org/2000/svg", "circle");
    mark.setAttribute("r", "4");
    mark.setAttribute("class", "mark");
    marks.set(chart, mark);
    chart.addEventListener("pointermove", (event) => {
      const box = chart.getBoundingClientRect();
      const view = chart.viewBox.baseVal;
      const x = (event.clientX - box.left) / box.width * view.width;
      const y = (event.clientY - box.top) / box.height * view.height;
      let nearest = null;
      let least = Infinity;
      for (const point of lines) {
        const distance = (point.x - x) ** 2 + ((point.y - y) / 2) ** 2;
        if (distance < least) [nearest, least] = [point, distance];
      }
      mark.setAttribute("cx", nearest.x);
      mark.setAttribute("cy", nearest.y);
      if (!mark.parentNode) chart.append(mark);
      tip.textContent = `${nearest.label}: ${nearest.sy} at ${nearest.sx}, ${chart.dataset.x}`;
      tip.hidden = false;
      const left = Math.min(event.pageX + 12, document.documentElement.clientWidth - tip.offsetWidth - 8);
      tip.style.left = `${Math.max(8, left)}px`;
      tip.style.top = `${event.pageY + 16}px`;
    });
    chart.addEventListener("pointerleave", () => {
      mark.remove();
      tip.hidden = true;
    });
  }
})();
