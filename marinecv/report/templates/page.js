"use strict";
// Show the images of a cell, sort and filter tables, and move the threshold. Without it a page has the same numbers.
(() => {
  const words = document.querySelector("main").dataset; // translated sentences
  const language = document.documentElement.lang;
  const fill = (text, values) => text.replace(/\{(\w+)\}/g, (_, name) => values[name]);
  const decimals = (value, digits, style = "decimal") =>
    value.toLocaleString(language, { style, minimumFractionDigits: digits, maximumFractionDigits: digits });
  const wrap = (element) => {
    const button = Object.assign(document.createElement("button"), { type: "button" });
    button.append(...element.childNodes);
    element.append(button);
    return button;
  };

  // The images of an element with data-n are the thumbnails that agree with its other data.
  const KEYS = ["split", "true", "predicted", "bin"];
  const panel = document.getElementById("shown");
  const thumbnails = panel ? [...document.getElementById("thumbnails").content.children] : [];
  let opened = null;
  const show = (element, button) => {
    if (opened) opened.setAttribute("aria-expanded", "false");
    opened = opened === button ? null : button;
    panel.hidden = !opened;
    if (!opened) return;
    button.setAttribute("aria-expanded", "true");
    const keys = KEYS.filter((key) => key in element.dataset);
    const found = thumbnails.filter((item) => keys.every((key) => item.dataset[key] === element.dataset[key]));
    const n = Number(element.dataset.n);
    const [title, count, list] = panel.children;
    title.textContent = element.title;
    count.textContent = found.length < n ? fill(words.some, { shown: found.length, n }) : "";
    list.replaceChildren(...found.map((item) => item.cloneNode(true)));
    (element.closest("figure") || element.closest(".scroll")).after(panel);
  };
  for (const element of panel ? document.querySelectorAll("[data-n]") : []) {
    const button = wrap(element.querySelector("th") || element);
    button.setAttribute("aria-expanded", "false");
    button.title = element.title;
    element.addEventListener("click", () => show(element, button));
  }

  // Rows sort by a click on a heading, numbers by the data-value of their cells; long tables filter.
  const compare = (column) => (a, b) => {
    const cells = [a.cells[column], b.cells[column]];
    if (cells.every((cell) => "value" in cell.dataset)) return cells[0].dataset.value - cells[1].dataset.value;
    return cells[0].textContent.localeCompare(cells[1].textContent, language, { numeric: true });
  };
  for (const table of document.querySelectorAll("table.sortable")) {
    const body = table.tBodies[0];
    [...table.tHead.rows[0].cells].forEach((heading, column) => {
      if (!heading.textContent.trim()) return;
      wrap(heading).addEventListener("click", () => {
        const order = heading.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending";
        for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
        heading.setAttribute("aria-sort", order);
        const rows = [...body.rows].sort(compare(column));
        body.append(...(order === "ascending" ? rows : rows.reverse()));
      });
    });
    if (body.rows.length <= 20) continue;
    const input = Object.assign(document.createElement("input"), { type: "search", placeholder: words.filter });
    input.setAttribute("aria-label", words.filter);
    input.addEventListener("input", () => {
      const wanted = input.value.toLowerCase();
      for (const row of body.rows) row.hidden = !row.textContent.toLowerCase().includes(wanted);
    });
    table.closest(".scroll").before(input);
  }

  // Each row of the table below the slider has [n, reviewed, accuracy, low, high] at each threshold.
  const slider = document.getElementById("threshold");
  const move = () => {
    slider.nextElementSibling.textContent = decimals(slider.value / 100, 2);
    for (const row of document.querySelectorAll("[data-thresholds]")) {
      const [n, reviewed, accuracy, low, high] = JSON.parse(row.dataset.thresholds)[slider.value];
      const [, coverage, right, review] = row.cells;
      const part = (count) => `${count} (${decimals(count / (n + reviewed), 1, "percent")})`;
      coverage.textContent = part(n);
      right.textContent = n ? fill(words.interval, {
        value: decimals(accuracy, 3), low: decimals(low, 3), high: decimals(high, 3) }) : "";
      review.textContent = part(reviewed);
    }
  };
  if (slider) {
    slider.addEventListener("input", move);
    slider.closest("[hidden]").hidden = false;
    move();
  }
})();
