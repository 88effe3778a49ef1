// The live view of attention: a photo to hover over, and the wall of layers and heads. One module for JupyterLab and Gradio.
import { bytesOf, cellAt, lookedAtBy, looksAt, mean, openLayer, paint, patternOf, percent, PADDING, sameSpot, spot, step, tokenName } from "./attention_maps.js";

const PAGE = `<div class="lk-frame">
  <div class="lk-stage">
    <canvas class="lk-photo" tabindex="0" role="application" aria-roledescription="photo with attention"></canvas>
    <div class="lk-scale" aria-hidden="true"><span>0</span><canvas width="256" height="1"></canvas><span class="lk-peak"></span>
      <span class="lk-unit">share of attention</span></div>
    <output class="lk-said" aria-live="polite"></output>
    <div class="lk-controls">
      <div class="lk-choice" role="group" aria-label="direction">
        <button type="button" data-reverse="0">looks at</button><button type="button" data-reverse="1">looked at by</button></div>
      <div class="lk-tokens" role="group" aria-label="tokens that are no place in the photo"></div>
      <label class="lk-blend"><span>photo</span><input type="range" min="0" max="1" step="0.05" aria-label="blend, from photo to attention"><span>attention</span></label>
      <label class="lk-smooth"><input type="checkbox"><span>smooth</span></label>
    </div>
    <div class="lk-help"><span>hover or drag to ask · click or <kbd>Enter</kbd> pins · <kbd>Esc</kbd> frees</span>
      <span><kbd>←</kbd><kbd>→</kbd><kbd>↑</kbd><kbd>↓</kbd> cell · <kbd>[</kbd><kbd>]</kbd> head · <kbd>,</kbd><kbd>.</kbd> layer ·
      <kbd>c</kbd> class token · <kbd>r</kbd> reverse</span></div>
  </div>
  <div class="lk-wall">
    <div class="lk-legend"></div>
    <div class="lk-tiles" role="grid" aria-label="layers and heads"></div>
    <div class="lk-tip" hidden></div>
  </div></div>`;

const MOVES = { ArrowUp: "up", ArrowDown: "down", ArrowLeft: "left", ArrowRight: "right", Home: "first", End: "last" };
const ACROSS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
const BLEND = 0.7;
const SETTLE_MS = 150;
const RESTING = { layer: 0, head: -1, query: 0, pinned: false, reverse: false, bands: [0.06, 0.12] };

function make(tag, className, text = "") {
  const node = document.createElement(tag);
  node.className = className;
  node.textContent = text;
  return node;
}

// Build the view in `el`. `host.tell(state)` is called when the visitor changed something, `host.want(layer)` when the bytes of a
// layer are missing. With `bare` there is the photo alone.
export function mount(el, host, { bare = false } = {}) {
  const root = make("div", `lk-attention${bare ? " lk-bare" : ""}`);
  root.dataset.lmSuppressShortcuts = "true"; // else JupyterLab takes the arrow keys for its cells
  root.innerHTML = PAGE;
  el.replaceChildren(root);
  const find = (selector) => root.querySelector(selector);
  const photo = find(".lk-photo");
  const ink = photo.getContext("2d", { alpha: false });
  const ground = document.createElement("canvas"); // the photo under the blend, kept between draws
  const cells = document.createElement("canvas"); // one pixel a cell
  const state = { ...RESTING };
  const timing = { asked: 0, drawn: 0, cost: 0 };
  let head = null;
  let layers = [];
  let colours = null;
  let picture = null;
  let grey = null;
  let blend = BLEND;
  let smooth = false;
  let asked = 0;
  let frame = 0;
  let settling = 0;

  const layer = () => layers[state.layer];
  const patternAt = (l, h) => {
    const { nmi } = head.layers[l];
    return patternOf(h < 0 ? mean(nmi) : nmi[h], state.bands);
  };
  const mapOf = (l, h, query) => {
    if (!layers[l]) return null;
    const place = sameSpot(query, head.layers[state.layer].grid, state.reverse ? layers[l].keyGrid : layers[l].grid);
    return state.reverse ? lookedAtBy(layers[l], h, place) : looksAt(layers[l], h, place);
  };

  // ---- what is shown

  function show(newHead, bodies, newState = {}) {
    head = newHead;
    layers = bodies.map((bytes, i) => (bytes ? openLayer(head.layers[i], bytes) : null));
    colours = bytesOf(head.colours);
    settle(newState);
    buildLegend();
    buildTiles();
    buildTokens();
    drawScale();
    const coming = new Image();
    coming.onload = () => {
      picture = coming;
      grey = inGrey(coming);
      resize();
    };
    coming.src = head.picture;
    schedule();
  }

  // Whatever comes from outside (a trait, a link, another model) is brought into range.
  function settle(change) {
    const within = (value, low, high, other) => (Number.isInteger(value) && value >= low && value <= high ? value : other);
    const before = head.layers[Math.min(state.layer, head.layers.length - 1)].grid;
    state.layer = within(change.layer ?? state.layer, 0, head.layers.length - 1, 0);
    const { heads, grid } = head.layers[state.layer];
    state.head = within(change.head ?? state.head, -1, heads - 1, -1);
    const query = change.query ?? sameSpot(state.query, before, grid);
    const centre = Math.floor(grid[0] / 2) * grid[1] + Math.floor(grid[1] / 2);
    state.query = within(query, -999, grid[0] * grid[1] - 1, centre);
    state.pinned = change.pinned ?? state.pinned;
    state.reverse = change.reverse ?? state.reverse;
    state.bands = change.bands ?? state.bands;
  }

  function apply(change) {
    settle(change);
    if (change.bands) buildTiles();
    schedule();
  }

  // From outside: no word goes back.
  function follow(change) {
    if (head) apply(change);
  }

  // By the visitor: the host hears of it, at once or when the hand rests.
  function change(to, { later = false, event = null } = {}) {
    if (!head) return;
    if (event) asked = event.timeStamp;
    apply(to);
    clearTimeout(settling);
    if (later) settling = setTimeout(() => host.tell({ ...state }), SETTLE_MS);
    else host.tell({ ...state });
  }

  function receive(index, bytes) {
    layers[index] = openLayer(head.layers[index], bytes);
    schedule();
  }

  function schedule() {
    if (!frame) frame = requestAnimationFrame(draw);
  }

  // ---- drawing

  function draw() {
    frame = 0;
    if (!head || !picture) return;
    const start = performance.now();
    const map = mapOf(state.layer, state.head, state.query);
    if (!layer()) host.want(state.layer);
    drawPhoto(map);
    if (!bare) {
      drawTiles();
      markTokens();
      find(".lk-peak").textContent = map ? percent(map.peak) : "";
      find(".lk-said").textContent = tell(map);
      photo.setAttribute("aria-label", `${head.model}: attention over the photo; arrow keys move the query`);
      find('[data-reverse="0"]').setAttribute("aria-pressed", String(!state.reverse));
      find('[data-reverse="1"]').setAttribute("aria-pressed", String(state.reverse));
    }
    root.dataset.query = state.query;
    root.dataset.layer = state.layer;
    root.dataset.head = state.head;
    timing.asked = asked;
    timing.drawn = performance.now();
    timing.cost = timing.drawn - start;
  }

  function drawPhoto(map) {
    const { width, height } = photo;
    ink.globalAlpha = 1;
    ink.drawImage(ground, 0, 0);
    if (map) {
      const [h, w] = map.grid;
      ink.globalAlpha = blend;
      ink.imageSmoothingEnabled = smooth;
      ink.drawImage(shrunk(map, w, h), 0, 0, w, h, 0, 0, width, height);
      ink.globalAlpha = 1;
      if (map.best >= 0 && map.peak > 0) outline(map.best, map.grid, "#ffffff", 1.25, [3, 3]);
    }
    const { grid, keyGrid } = head.layers[state.layer];
    const asking = state.reverse ? keyGrid : grid;
    const place = sameSpot(state.query, grid, asking);
    if (place >= 0) outline(place, asking, "#3be4ff", state.pinned ? 3 : 2, []);
  }

  // The cells of a map as a small canvas, one pixel each.
  function shrunk(map, w, h) {
    if (cells.width !== w || cells.height !== h) [cells.width, cells.height] = [w, h];
    const brush = cells.getContext("2d", { willReadFrequently: true });
    const image = brush.createImageData(w, h);
    paint(map, colours, image.data);
    brush.putImageData(image, 0, 0);
    return cells;
  }

  function outline(cell, [h, w], colour, thick, dash) {
    const ratio = photo.width / photo.clientWidth || 1;
    const [cw, ch] = [photo.width / w, photo.height / h];
    const box = [(cell % w) * cw, Math.floor(cell / w) * ch, cw, ch];
    for (const [style, extra] of [["rgba(0,0,0,0.75)", 2], [colour, 0]]) {
      ink.strokeStyle = style;
      ink.lineWidth = (thick + extra) * ratio;
      ink.setLineDash(extra ? [] : dash.map((n) => n * ratio));
      ink.strokeRect(...box);
    }
  }

  // Hue must mean attention alone, so the photo gives up its colours as the blend rises.
  function drawGround() {
    [ground.width, ground.height] = [photo.width, photo.height];
    const brush = ground.getContext("2d", { alpha: false });
    brush.imageSmoothingQuality = "high";
    brush.drawImage(picture, 0, 0, ground.width, ground.height);
    brush.globalAlpha = Math.min(1, 2 * blend);
    brush.drawImage(grey, 0, 0, ground.width, ground.height);
  }

  function inGrey(source) {
    const copy = document.createElement("canvas");
    [copy.width, copy.height] = [source.naturalWidth, source.naturalHeight];
    const brush = copy.getContext("2d", { willReadFrequently: true });
    brush.drawImage(source, 0, 0);
    const image = brush.getImageData(0, 0, copy.width, copy.height);
    for (let i = 0; i < image.data.length; i += 4) {
      const light = 0.2126 * image.data[i] + 0.7152 * image.data[i + 1] + 0.0722 * image.data[i + 2];
      image.data.fill(light, i, i + 3);
    }
    brush.putImageData(image, 0, 0);
    return copy;
  }

  function drawScale() {
    const brush = find(".lk-scale canvas").getContext("2d");
    const image = brush.createImageData(256, 1);
    for (let i = 0; i < 256; i++) image.data.set([colours[3 * i], colours[3 * i + 1], colours[3 * i + 2], 255], 4 * i);
    brush.putImageData(image, 0, 0);
  }

  function resize() {
    if (!picture) return;
    photo.style.aspectRatio = `${picture.naturalWidth} / ${picture.naturalHeight}`;
    const ratio = Math.min(window.devicePixelRatio || 1, 2);
    const width = Math.max(1, Math.round(photo.clientWidth * ratio));
    const height = Math.round((width * picture.naturalHeight) / picture.naturalWidth);
    if (photo.width !== width || photo.height !== height) [photo.width, photo.height] = [width, height];
    drawGround();
    sizeTiles();
    schedule();
  }

  // ---- the wall of layers and heads

  function buildLegend() {
    find(".lk-legend").replaceChildren(...["local", "hybrid", "global"].map((name) => {
      const item = make("span", `lk-key lk-${name}`);
      paintPattern(item, name);
      item.append(make("i", "lk-mark"), name);
      item.title = head.patterns[name].meaning;
      return item;
    }));
  }

  function paintPattern(node, name) {
    if (!(name in head.patterns)) return;
    node.style.setProperty("--light", head.patterns[name].light);
    node.style.setProperty("--dark", head.patterns[name].dark);
  }

  function buildTiles() {
    const most = Math.max(...head.layers.map((one) => one.heads));
    const titles = make("div", "lk-row lk-titles");
    titles.setAttribute("role", "row");
    for (const text of ["layer", "mean", ...Array(most).keys()]) {
      const title = make("span", "", String(text));
      title.setAttribute("role", "columnheader");
      titles.append(title);
    }
    const rows = head.layers.map((one, l) => {
      const row = make("div", "lk-row");
      row.setAttribute("role", "row");
      const name = make("span", "", String(l));
      name.setAttribute("role", "rowheader");
      name.title = one.name;
      row.append(name, ...[-1, ...Array(one.heads).keys()].map((h) => tile(l, h)));
      return row;
    });
    find(".lk-tiles").replaceChildren(titles, ...rows);
    sizeTiles();
  }

  function tile(l, h) {
    const pattern = patternAt(l, h);
    const node = make("div", `lk-tile lk-${pattern}`);
    paintPattern(node, pattern);
    node.setAttribute("role", "gridcell");
    const one = head.layers[l];
    const number = (name, digits) => (h < 0 ? mean(one[name]) : one[name][h]).toFixed(digits);
    node.setAttribute("aria-label", `${nameOf(l, h)}: ` + (pattern === "none" ? "no place in the photo asks here"
      : `${pattern}, NMI ${number("nmi", 3)}, distance ${number("distance", 1)} patches, entropy ${number("entropy", 2)} nats`));
    node.dataset.layer = l;
    node.dataset.head = h;
    const [rows, columns] = one.keyGrid;
    const small = document.createElement("canvas");
    [small.width, small.height] = [columns, rows];
    node.append(small, make("i", "lk-mark"));
    return node;
  }

  const nameOf = (l, h) => (h < 0 ? `layer ${l} mean of heads` : `layer ${l} head ${h}`);

  // Tiles as large as the wall allows; below 26 pixels they carry colour and mark alone.
  function sizeTiles() {
    const wall = find(".lk-wall").clientWidth;
    if (!head || !wall) return;
    const across = Math.max(...head.layers.map((one) => one.heads)) + 1;
    const size = Math.floor(Math.min((wall - 44) / across - 5, 600 / head.layers.length - 5, 68));
    root.style.setProperty("--tile", `${Math.max(13, size)}px`);
    root.classList.toggle("lk-tight", size < 26);
  }

  function drawTiles() {
    for (const node of root.querySelectorAll(".lk-tile")) {
      const [l, h] = [Number(node.dataset.layer), Number(node.dataset.head)];
      const here = l === state.layer && h === state.head;
      if (here !== (node.getAttribute("aria-selected") === "true") || !node.hasAttribute("aria-selected")) {
        node.setAttribute("aria-selected", String(here));
        node.tabIndex = here ? 0 : -1;
      }
      if (root.classList.contains("lk-tight")) continue;
      const map = mapOf(l, h, state.query);
      const small = node.firstChild;
      const brush = small.getContext("2d", { willReadFrequently: true });
      if (!map) {
        brush.clearRect(0, 0, small.width, small.height);
        continue;
      }
      const [rows, columns] = map.grid;
      if (small.width !== columns || small.height !== rows) [small.width, small.height] = [columns, rows];
      const image = brush.createImageData(columns, rows);
      paint(map, colours, image.data);
      brush.putImageData(image, 0, 0);
    }
  }

  // ---- tokens that have no place in the photo

  function buildTokens() {
    const tokens = [...new Set(head.layers.flatMap((one) => [...one.asking, ...one.prefix]))].filter((token) => token !== PADDING);
    find(".lk-tokens").replaceChildren(...tokens.sort((a, b) => b - a).map((token) => {
      const button = make("button", "", tokenName(token));
      button.type = "button";
      button.dataset.token = token;
      button.addEventListener("click", (event) => change({ query: token, pinned: true }, { event }));
      return button;
    }));
  }

  function markTokens() {
    const { asking, prefix } = head.layers[state.layer];
    for (const button of find(".lk-tokens").children) {
      const token = Number(button.dataset.token);
      button.setAttribute("aria-pressed", String(state.query === token));
      button.disabled = !(state.reverse ? prefix : asking).includes(token);
    }
  }

  // ---- words

  function tell(map) {
    const one = head.layers[state.layer];
    const nmi = state.head < 0 ? mean(one.nmi) : one.nmi[state.head];
    const where = nameOf(state.layer, state.head) + (nmi === null ? "" : ` (${patternAt(state.layer, state.head)}, NMI ${nmi.toFixed(2)})`);
    const grid = state.reverse ? one.keyGrid : one.grid;
    const place = sameSpot(state.query, one.grid, grid);
    const name = place < 0 ? tokenName(place) : spot(place, grid);
    const parts = [`${state.reverse ? "" : "query "}${name}${state.pinned ? " (pinned)" : ""}`, where];
    if (!layers[state.layer]) return [...parts, "this layer is on its way …"].join(" · ");
    if (!map) return [...parts, state.reverse ? "nothing can look at it here" : "this layer does not ask from here"].join(" · ");
    if (state.reverse) {
      if (map.best >= 0) parts.push(`looked at most by ${spot(map.best, map.grid)} (${percent(map.peak)} of what that one gives)`);
      map.prefix.forEach((share, i) => parts.push(`${tokenName(one.asking[i])} gives it ${percent(share)}`));
    } else {
      if (map.best >= 0) parts.push(`looks most at ${spot(map.best, map.grid)} (${percent(map.peak)})`);
      map.prefix.forEach((share, i) => parts.push(`${percent(share)} goes to the ${tokenName(one.prefix[i])}`));
    }
    return parts.join(" · ");
  }

  // ---- hands

  const pointed = (event) => {
    const box = photo.getBoundingClientRect();
    return cellAt((event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height, head.layers[state.layer].grid);
  };
  let down = null;
  let freed = false;

  photo.addEventListener("pointermove", (event) => {
    if (!head || (state.pinned && down === null)) return;
    const cell = pointed(event);
    if (cell !== state.query) change({ query: cell }, { later: true, event });
  });
  photo.addEventListener("pointerdown", (event) => {
    if (!head) return;
    photo.setPointerCapture(event.pointerId);
    down = pointed(event);
    freed = state.pinned && down === state.query;
    change({ query: down }, { later: true, event });
  });
  photo.addEventListener("pointerup", (event) => {
    if (!head || down === null) return;
    const dragged = pointed(event) !== down;
    down = null;
    change({ pinned: dragged ? state.pinned : !freed }, { event });
  });
  photo.addEventListener("pointercancel", () => { down = null; });

  photo.addEventListener("keydown", (event) => {
    if (!head || event.ctrlKey || event.metaKey || event.altKey) return;
    const { grid, heads, asking, prefix } = head.layers[state.layer];
    const around = (value, low, high) => (value < low ? high : value > high ? low : value);
    const token = (state.reverse ? prefix : asking)[0];
    const middle = Math.floor(grid[0] / 2) * grid[1] + Math.floor(grid[1] / 2);
    const wish = {
      ...Object.fromEntries(Object.entries(MOVES).map(([key, move]) => [key, { query: state.query < 0 ? middle : step(state.query, move, grid) }])),
      Enter: { pinned: !state.pinned },
      " ": { pinned: !state.pinned },
      Escape: { pinned: false },
      "[": { head: around(state.head - 1, -1, heads - 1) },
      "]": { head: around(state.head + 1, -1, heads - 1) },
      ",": { layer: around(state.layer - 1, 0, head.layers.length - 1) },
      ".": { layer: around(state.layer + 1, 0, head.layers.length - 1) },
      r: { reverse: !state.reverse },
      c: token === undefined || token === PADDING ? {} : { query: state.query < 0 ? middle : token },
    }[event.key];
    if (!wish) return;
    event.preventDefault();
    event.stopPropagation();
    change(wish, { later: event.key in MOVES, event });
  });

  const wall = find(".lk-tiles");
  const pick = (node, event) => {
    change({ layer: Number(node.dataset.layer), head: Number(node.dataset.head) }, { event });
    node.focus({ preventScroll: true });
  };
  wall.addEventListener("click", (event) => {
    const node = event.target.closest(".lk-tile");
    if (node) pick(node, event);
  });
  wall.addEventListener("keydown", (event) => {
    const move = ACROSS[event.key];
    const node = event.target.closest(".lk-tile");
    if (!move || !node) return;
    event.preventDefault();
    event.stopPropagation();
    const l = Math.min(head.layers.length - 1, Math.max(0, state.layer + move[0]));
    const h = Math.min(head.layers[l].heads - 1, Math.max(-1, state.head + move[1]));
    pick(wall.querySelector(`[data-layer="${l}"][data-head="${h}"]`), event);
  });

  const tip = find(".lk-tip");
  const explain = (event) => {
    const node = event.target.closest(".lk-tile");
    tip.hidden = !node;
    if (!node) return;
    const [title, rest] = node.getAttribute("aria-label").split(": ");
    tip.replaceChildren(make("b", "", title), ...rest.split(", ").map((line) => make("span", "", line)));
    const right = node.offsetLeft + node.offsetWidth / 2 > wall.offsetLeft + find(".lk-wall").clientWidth / 2;
    tip.style.left = right ? "auto" : `${node.offsetLeft + node.offsetWidth + 10}px`;
    tip.style.right = right ? `${find(".lk-wall").clientWidth - node.offsetLeft + 10}px` : "auto";
    tip.style.top = `${node.offsetTop}px`;
  };
  for (const kind of ["pointerover", "focusin"]) wall.addEventListener(kind, explain);
  for (const kind of ["pointerleave", "focusout"]) wall.addEventListener(kind, () => { tip.hidden = true; });

  for (const button of root.querySelectorAll("[data-reverse]"))
    button.addEventListener("click", (event) => change({ reverse: button.dataset.reverse === "1" }, { event }));
  const slider = find(".lk-blend input");
  slider.value = String(BLEND);
  slider.addEventListener("input", () => {
    blend = Number(slider.value);
    if (picture) drawGround();
    schedule();
  });
  find(".lk-smooth input").addEventListener("change", (event) => {
    smooth = event.target.checked;
    schedule();
  });

  const watcher = new ResizeObserver(resize);
  watcher.observe(root);

  const close = () => {
    watcher.disconnect();
    cancelAnimationFrame(frame);
    clearTimeout(settling);
    el.replaceChildren();
  };
  const view = { root, state, timing, show, follow, choose: (to) => change(to), receive, close };
  el.view = view;
  return view;
}

// ---- JupyterLab: traits of labkit.widgets.attention.AttentionView

const TRAITS = ["layer", "head", "query", "pinned", "reverse"];

function inJupyter({ model, el }) {
  const traits = () => ({ ...Object.fromEntries(TRAITS.map((name) => [name, model.get(name)])), bands: [...model.get("bands")] });
  const view = mount(el, {
    tell(state) {
      for (const name of TRAITS) model.set(name, state[name]);
      model.save_changes();
    },
    want: (layer) => model.send({ want: layer }),
  });
  const show = () => {
    const { head, layers } = model.get("packed");
    if (head) view.show(head, layers, traits());
  };
  const follow = () => view.follow(traits());
  const receive = (message, buffers) => {
    if ("layer" in message) view.receive(message.layer, buffers[0]);
  };
  const events = [["change:packed", show], ["msg:custom", receive], ...[...TRAITS, "bands"].map((name) => [`change:${name}`, follow])];
  for (const [name, handler] of events) model.on(name, handler);
  show();
  return () => {
    for (const [name, handler] of events) model.off(name, handler);
    view.close();
  };
}

// ---- Gradio: the value of labkit.widgets.attention.gradio_view()

export function inGradio({ element, props, watch, server, tell }) {
  let view = null;
  const want = (layer) => server.layer_bytes(props.value.token, layer).then((body) => view.receive(layer, bytesOf(body)));
  const show = () => {
    if (!props.value?.head) return;
    view ??= mount(element.querySelector(".lk-host"), { tell, want });
    view.show(props.value.head, props.value.layers.map((body) => body && bytesOf(body)), props.value.state);
  };
  show();
  watch("value", show);
}

export default { render: inJupyter };
