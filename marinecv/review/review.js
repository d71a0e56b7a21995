"use strict";
// A grid of pictures, answered by keys. A key acts when the answers before it are acknowledged, each with
// what other windows have answered since.
(async () => {
  const MOST = 300, WIDTH = 172, HEIGHT = 222; // thumbnails in the page; pixels of a card
  const WORDS = { empty: "nothing there", unknown: "unknown" };
  const byId = (id) => document.getElementById(id);
  const [grid, list, large, stage, frame, picture] = ["grid", "list", "large", "stage", "frame", "picture"].map(byId);
  const [box, type, text, matches, note, keys] = ["box", "type", "text", "matches", "note", "keys"].map(byId);
  const make = (tag, properties, ...children) => {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  };
  const bdi = (name) => make("bdi", { textContent: name });
  const say = (sentence, bad = false) => {
    byId("said").textContent = sentence;
    byId("said").classList.toggle("bad", bad);
  };
  const get = async (path, options) => {
    const response = await fetch(path, options).catch(() => null);
    if (!response) throw new Error("The server does not answer; nothing is saved.");
    if (response.ok) return response;
    const content = await response.json();
    throw Object.assign(new Error(content.error), content);
  };
  const json = async (...request) => (await get(...request)).json();
  const data = await json("data");
  const rows = data.names.map((_, row) => row);
  const classes = [...data.classes]; // and those that were typed
  const answers = new Map(); // row -> [answer, class]
  const eventOf = (row) => data.event[row] < 0 ? [row] : rows.filter((other) => data.event[other] === data.event[row]);
  let batch = 0, view = rows, places = rows, current = 0, anchor = 0, columns = 1, width = WIDTH, over = false;
  let selected = new Set([0]); // what the next answer is for

  // What an item is.
  const verdict = (row) => {
    const [answer, label] = answers.get(row) || [];
    return WORDS[answer] || label || "";
  };
  const facts = (row) => { // first what Enter confirms
    if (data.blind) return [];
    const probability = data.probability[row], sure = probability === null ? "" : ` ${Math.round(probability * 100)}%`;
    const given = data.given_class[row], prediction = [given ? "predicted: " : "", data.predicted_class[row], sure];
    return [["label: ", given, ""], prediction].filter((fact) => fact[1]);
  };
  const lines = (row) => facts(row).map(([what, label, sure], index) =>
    make("p", {}, ...(index ? [] : [make("kbd", { textContent: "⏎ ", ariaHidden: true })]), what, bdi(label), sure));
  const loaded = (address, alt) => { // or why there is none
    const image = make("img", { alt, title: alt });
    image.onerror = () => get(address).catch((error) => error).then(({ message }) =>
      image.replaceWith(make("div", { className: "missing", textContent: message || "It cannot be shown." })));
    image.src = address;
    return image;
  };

  // The grid, without cards out of sight.
  const cards = new Map();
  const makeCard = (row) => {
    const text = data.blind ? [make("p", {}, bdi(data.names[row]))] : lines(row);
    const image = loaded(`thumb/${row}`, data.blind ? "" : data.names[row]);
    const parts = [image, make("p", { className: "verdict" }), ...text];
    return make("div", { id: `card-${row}`, role: "option" }, make("div", {}, ...parts));
  };
  const fill = (row, card) => {
    const place = places[row], event = data.event[row];
    const beside = (by) => event >= 0 && data.event[view[place + by]] === event;
    const marks = { card: true, answered: answers.has(row), selected: selected.has(row), current: row === current,
      event: beside(-1) || beside(1), first: !beside(-1), final: !beside(1) };
    card.className = Object.keys(marks).filter((mark) => marks[mark]).join(" ");
    Object.assign(card, { ariaSetSize: view.length, ariaPosInSet: place + 1, ariaSelected: marks.selected });
    card.querySelector(".verdict").replaceChildren(...(marks.answered ? ["✓ ", bdi(verdict(row))] : []));
    card.style.width = `${width}px`;
    card.style.transform = `translate(${place % columns * width}px, ${Math.floor(place / columns) * HEIGHT}px)`;
  };
  const render = (all = true) => {
    columns = Math.max(1, Math.floor(list.clientWidth / WIDTH));
    width = list.clientWidth / columns; // read once: after a change it would need a new layout
    list.style.height = `${Math.ceil(view.length / columns) * HEIGHT}px`;
    const start = Math.max(0, Math.floor(grid.scrollTop / HEIGHT) - 1) * columns;
    const count = (Math.ceil(grid.clientHeight / HEIGHT) + 3) * columns;
    const wanted = view.slice(start, start + Math.min(count, MOST)), kept = new Set(wanted);
    for (const [row, card] of cards) {
      if (kept.has(row)) continue;
      card.querySelector("img")?.removeAttribute("src"); // nobody waits for it
      card.remove();
      cards.delete(row);
    }
    wanted.forEach((row, index) => {
      const isNew = !cards.has(row);
      if (isNew) cards.set(row, makeCard(row));
      const card = cards.get(row);
      if (all || isNew) fill(row, card);
      if (list.children[index] !== card) list.insertBefore(card, list.children[index]);
    });
    grid.setAttribute("aria-activedescendant", cards.has(current) ? `card-${current}` : "");
  };
  const arrange = () => {
    view = byId("filter").checked ? rows.filter((row) => !answers.has(row)) : rows;
    places = [];
    view.forEach((row, place) => { places[row] = place; });
    byId("none").hidden = view.length > 0;
    byId("count").textContent = `${answers.size} of ${rows.length} answered`;
    Object.assign(byId("progress"), { max: rows.length, value: answers.size });
  };
  const select = (row, extend = false) => {
    current = row;
    if (!extend) anchor = row;
    const [from, to] = [places[anchor] ?? places[row], places[row]].sort((a, b) => a - b);
    selected = new Set(view.slice(from, to + 1));
    const top = Math.floor(places[row] / columns) * HEIGHT;
    grid.scrollTop = Math.min(top, Math.max(grid.scrollTop, top + HEIGHT - grid.clientHeight));
    render();
    if (!large.hidden) show();
  };
  const step = (by, extend) => {
    const place = (places[current] ?? 0) + by;
    if (view.length) select(view[Math.max(0, Math.min(view.length - 1, place))], extend);
  };
  const next = (from) => { // the next item without an answer, behind the last one from the start again
    const open = rows.filter((row) => !answers.has(row));
    const row = open.find((row) => row > from) ?? open[0] ?? view[Math.max(0, from)];
    if (row !== undefined) select(row);
    else render();
  };

  // Answers: one at a time, and after one that failed none of those typed ahead.
  let queue = Promise.resolve(), era = 0, asking = false;
  const later = (act) => {
    const started = era;
    queue = queue.then(() => started === era && !over && act()).catch((error) => say(error.message, true));
  };
  const merge = (state) => {
    batch = state.batch;
    for (const [row, [answer, label]] of Object.entries(state.answers)) {
      if (answer) answers.set(Number(row), [answer, label]);
      else answers.delete(Number(row));
      if (label && !classes.includes(label)) classes.push(label);
    }
    arrange();
  };
  const post = async (path, given) => {
    const body = JSON.stringify({ seen: batch, ...given }), headers = { "Content-Type": "application/json" };
    try {
      const content = await json(path, { method: "POST", headers, body });
      if (content.answers) merge(content);
      ask();
      return content;
    } catch (error) {
      if (error.answers) merge(error);
      else era += 1;
      render();
      if (!large.hidden) show();
      throw error;
    }
  };
  const end = (sentence) => {
    over = true;
    say(sentence);
    for (const control of document.querySelectorAll("button, input")) control.disabled = true;
  };
  const ask = async () => { // which may take longer than an answer
    if (asking) return;
    asking = true;
    for (let asked = -1; asked !== batch && !over;) {
      asked = batch;
      const { text, enough } = await json("status").catch(() => ({ text: "" }));
      byId("status").textContent = text;
      if (enough) end("Enough is answered. You can close the page.");
    }
    asking = false;
  };
  const answer = async (kind, label = "") => {
    const targets = [...selected].sort((a, b) => a - b);
    if (!view.length) return;
    await post("answer", { rows: targets, answer: kind, class_name: label }).catch((error) => {
      if (error.answers) next(targets[0] - 1); // another window was first
      throw error;
    });
    const what = targets.length > 1 ? `${targets.length} images` : data.names[targets[0]];
    say(`${what}: ${WORDS[kind] || label}. ${answers.size === rows.length ? "Every image has an answer." : ""}`);
    next(targets.at(-1));
  };
  const confirm = () => {
    const names = [...new Set([...selected].map((row) => facts(row)[0]?.[1]))];
    if (names.length > 1) return say("They are of different classes; answer with one.", true);
    return names[0] ? answer("class", names[0]) : say("There is no class to confirm.", true);
  };
  const undo = async () => {
    const undone = (await post("undo")).rows;
    say(undone.length ? `Undone: ${undone.length}` : "Nothing is left to undo.");
    const row = undone.find((row) => places[row] !== undefined);
    if (row !== undefined) select(row);
  };
  const wholeEvent = () => {
    selected = new Set(eventOf(current).filter((row) => places[row] !== undefined));
    say(data.event[current] < 0 ? "This image is of no event." : `The next answer is for ${selected.size} images.`);
    render();
  };

  // The large view.
  let zoom = 1, heatOf = null, shown = null;
  const fit = () => {
    const [width, height] = [picture.naturalWidth || 1, picture.naturalHeight || 1];
    const scale = Math.min(stage.clientWidth / width, stage.clientHeight / height, 8) * zoom;
    Object.assign(frame.style, { width: `${Math.floor(width * scale)}px`, height: `${Math.floor(height * scale)}px` });
  };
  const zoomBy = (factor, at) => { // the pointer, or the box, stays where it is
    const before = frame.getBoundingClientRect(), rim = (zoom > 1 || box.hidden ? stage : box).getBoundingClientRect();
    const [x, y] = at || [rim.left + rim.width / 2, rim.top + rim.height / 2];
    zoom = Math.max(1, Math.min(16, zoom * factor));
    fit();
    const after = frame.getBoundingClientRect();
    stage.scrollLeft += after.left + (x - before.left) / before.width * after.width - x;
    stage.scrollTop += after.top + (y - before.top) / before.height * after.height - y;
  };
  const draw = (address) => {
    picture.hidden = true; // until it is loaded
    picture.src = address;
  };
  const setHeat = (row, sentence) => {
    heatOf = row;
    byId("heat").ariaPressed = row !== null;
    note.textContent = sentence;
  };
  const show = async () => {
    const row = current, event = eventOf(row);
    large.hidden = false;
    grid.inert = true;
    byId("name").textContent = data.names[row];
    const more = [data.camera[row], data.taken_at[row]];
    if (event.length > 1) more.push(`image ${event.indexOf(row) + 1} of ${event.length} of its event`);
    if (selected.size > 1) more.push(`The next answer is for ${selected.size} images.`);
    const given = answers.has(row) ? [make("p", { className: "verdict" }, "✓ ", bdi(verdict(row)))] : [];
    const others = more.filter(Boolean).map((line) => make("p", {}, bdi(line)));
    byId("facts").replaceChildren(...lines(row), ...given, ...others);
    if (shown === row) return;
    shown = row;
    zoom = 1;
    setHeat(null, "");
    box.hidden = byId("near-title").hidden = true;
    frame.className = "";
    byId("near").replaceChildren();
    picture.alt = data.names[row];
    draw(`large/${row}`);
    const detail = await json(`detail/${row}`);
    if (shown !== row) return;
    if (detail.box && detail.size[0]) {
      const [left, top, right, bottom] = detail.box.map((edge, index) => edge / detail.size[index % 2] * 100);
      const edges = { left, top, width: right - left, height: bottom - top };
      for (const edge in edges) box.style[edge] = `${edges[edge]}%`;
      box.hidden = false;
    }
    const near = detail.neighbors;
    byId("near-title").hidden = !near.row.length;
    byId("near").replaceChildren(...near.row.map((number, index) => make("li", {},
      loaded(`neighbor/${number}`, near.name?.[index] || ""),
      bdi(near.class_name?.[index] || ""), ` ${near.similarity[index].toFixed(2)}`)));
  };
  const toggle = () => {
    if (!large.hidden) {
      large.hidden = true;
      grid.inert = false;
      select(current, selected.size > 1);
    } else if (view.length) {
      shown = null;
      show();
    }
    focus();
  };
  const heat = async () => {
    const row = current;
    if (large.hidden || !data.heat) return;
    if (heatOf === row) {
      shown = null;
      return show();
    }
    setHeat(row, "Computing Grad-CAM; the first one loads the model …");
    const response = await get(`heat/${row}`).catch((error) => error);
    if (heatOf !== row || large.hidden) return;
    if (!response.ok) return setHeat(null, response.message);
    note.textContent = `Grad-CAM of ${data.predicted_class[row]}`;
    frame.className = "hot";
    draw(URL.createObjectURL(await response.blob()));
  };

  // Type a class: those that begin with the text, those with it inside, the text as a new one.
  let options = [], marked = 0, confirmed = "";
  const suggest = () => {
    const typed = text.value.normalize("NFC").trim().replace(/\s+/g, " "), wanted = typed.toLowerCase();
    const rank = (label) => label.toLowerCase() === wanted ? 0 : label.toLowerCase().startsWith(wanted) ? 1 : 2;
    const found = classes.filter((label) => label.toLowerCase().includes(wanted)).sort((a, b) => rank(a) - rank(b));
    options = found.slice(0, 50).map((label) => [label]);
    if (typed && (!found.length || rank(found[0]))) options.push([typed, "new class: "]);
    marked = Math.max(0, Math.min(marked, options.length - 1));
    matches.replaceChildren(...options.map(([label, isNew = ""], index) => {
      const option = make("div", { id: `match-${index}`, role: "option", ariaSelected: index === marked });
      option.append(isNew, bdi(label), isNew && confirmed === label ? " (Enter again adds it)" : "");
      option.addEventListener("pointerdown", (event) => { event.preventDefault(); marked = index; take(); });
      return option;
    }));
    text.setAttribute("aria-activedescendant", options.length ? `match-${marked}` : "");
    matches.children[marked]?.scrollIntoView({ block: "nearest" });
  };
  const focus = () => (!type.hidden ? text : large.hidden ? grid : stage).focus();
  const typing = (isOpen) => {
    type.hidden = !isOpen;
    text.value = confirmed = "";
    marked = 0;
    suggest();
    focus();
  };
  const take = () => {
    const [label, isNew] = options[marked] || [];
    if (isNew && confirmed !== label) {
      confirmed = label;
      say(`${label} is no class yet. Enter again adds it.`);
      mark(0);
    } else if (label) {
      typing(false);
      later(() => answer("class", label));
    }
  };
  const mark = (by) => { marked += by; suggest(); };
  const TYPED = { Escape: () => typing(false), ArrowDown: () => mark(1), ArrowUp: () => mark(-1), Enter: take };
  text.addEventListener("input", () => { marked = 0; confirmed = ""; suggest(); });
  text.addEventListener("keydown", (event) => {
    event.stopPropagation(); // no other key acts while typing
    if (event.isComposing || !(event.key in TYPED)) return;
    event.preventDefault();
    if (event.key !== "Enter" || !event.repeat) TYPED[event.key]();
  });

  // Keys, and buttons that stand for them.
  const line = () => large.hidden ? columns : 1;
  const page = () => Math.max(1, Math.floor(grid.clientHeight / HEIGHT)) * columns;
  const MOVES = { arrowleft: () => -1, arrowright: () => 1, arrowup: () => -line(), arrowdown: line,
    home: () => -rows.length, end: () => rows.length, pageup: () => -page(), pagedown: page };
  const PANS = { arrowleft: [-80, 0], arrowright: [80, 0], arrowup: [0, -80], arrowdown: [0, 80] }; // when zoomed
  const ACTS = { enter: confirm, x: () => answer("empty"), u: () => answer("unknown"), e: wholeEvent, g: heat, undo,
    finish: () => post("finish").then(() => end(`Finished: ${byId("count").textContent}. You can close the page.`)),
    " ": toggle, escape: () => large.hidden ? select(current) : toggle() };
  const AT_ONCE = { "/": () => typing(true), "?": () => keys.showModal(), shut: () => keys.close(),
    "+": () => zoomBy(1.4), "-": () => zoomBy(1 / 1.4) };
  const press = (key, event) => { // whether it is a key of this page
    if (!large.hidden && zoom > 1 && key in PANS && !event.shiftKey) stage.scrollBy(...PANS[key]);
    else if (key in MOVES) later(() => step(MOVES[key](), event.shiftKey));
    else if (key in AT_ONCE) AT_ONCE[key]();
    else if (!(key in ACTS)) return false;
    else if (!event.repeat) later(ACTS[key]);
    return true;
  };
  document.addEventListener("keydown", (event) => {
    const onControl = event.target.closest("button, input") && [" ", "Enter"].includes(event.key);
    if (over || keys.open || event.isComposing || event.altKey || onControl) return;
    const isForeign = event.key.length === 1 && event.key > "\x7f"; // a letter of another alphabet: the key counts
    let key = (isForeign ? event.code.replace("Key", "") : event.key).toLowerCase();
    if (event.ctrlKey || event.metaKey) key = key === "z" && !event.shiftKey ? "undo" : "";
    if (press(key, event)) event.preventDefault();
  });
  data.keys.forEach((label, index) => {
    const button = make("button", { type: "button" }, make("kbd", { textContent: index + 1 }), bdi(label));
    button.dataset.key = index + 1;
    byId("slash").before(button);
    ACTS[index + 1] = () => answer("class", label);
  });
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-key]");
    if (button && press(button.dataset.key, event) && !keys.open) focus();
  });
  byId("filter").addEventListener("change", () => {
    arrange();
    if (places[current] === undefined) next(current);
    else select(current);
  });
  list.addEventListener("click", (event) => {
    const card = event.target.closest(".card");
    if (card) later(() => select(Number(card.id.slice(5)), event.shiftKey));
  });
  list.addEventListener("dblclick", () => later(toggle));
  picture.onload = () => { picture.hidden = false; fit(); };
  picture.onerror = () => get(picture.src).catch((error) => { note.textContent = error.message; });
  stage.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoomBy(event.deltaY < 0 ? 1.2 : 1 / 1.2, [event.clientX, event.clientY]);
  }, { passive: false });
  stage.addEventListener("pointermove", ({ buttons, movementX, movementY }) => {
    if (buttons) stage.scrollBy(-movementX, -movementY);
  });
  grid.addEventListener("scroll", () => requestAnimationFrame(() => render(false)));
  window.addEventListener("resize", () => { render(); fit(); });
  window.addEventListener("focus", () => later(async () => {
    merge(await json(`changes/${batch}`));
    render();
  }));

  const isLabeled = !data.blind && data.given_class.some(Boolean);
  byId("enter").textContent = `correct: the ${isLabeled ? "given label" : "prediction"} is right`;
  byId("means").textContent = isLabeled ? "the label is right" : "the prediction is right";
  byId("confirm").hidden = byId("enter-row").hidden = data.blind;
  byId("heat").hidden = byId("heat-row").hidden = !data.heat;
  document.title = byId("title").textContent = data.title;
  merge(data);
  next(-1);
  focus();
  ask();
})().catch((error) => { document.getElementById("said").textContent = error.message; });
