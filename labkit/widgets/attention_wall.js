// The wall: a small picture a layer and head, framed by its pattern; a grid for the eye, the keys and the screen reader.
import { make } from "./dom.js";
import { paintCells } from "./stage.js";
import { patternAt, tileWords } from "./attention_words.js";

const ACROSS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
const GAPS = [5, 2]; // between tiles, and between small ones
const LABEL = 44;
const TALLEST = 600;
const LARGEST = 68;
const SMALLEST = 8;
const NO_PICTURE = 26; // tiles below this are shapes in their pattern's colour

// `pick(layer, head, event)` is called when the visitor chooses a tile.
export function makeWall(wall, pick) {
  const [legend, tiles, tip] = [".lk-legend", ".lk-tiles", ".lk-tip"].map((name) => wall.querySelector(name));
  const root = wall.closest(".lk-attention");
  let head = null;

  function build(newHead, bands) {
    head = newHead;
    legend.replaceChildren(...Object.entries(head.patterns).map(([name, pattern]) => {
      const item = framed(make("span", `lk-key lk-${name}`), name);
      item.append(make("i", "lk-mark"), name);
      item.title = pattern.meaning;
      return item;
    }));
    const numbers = Array(Math.max(...head.layers.map((info) => info.heads))).keys();
    const titles = row(["layer", "mean", ...numbers].map((text) => spoken("columnheader", make("span", "", String(text)))));
    titles.classList.add("lk-titles");
    const rows = head.layers.map((info, layer) => {
      const name = spoken("rowheader", make("span", "", String(layer)));
      name.title = info.name;
      return row([name, ...[-1, ...Array(info.heads).keys()].map((h) => tile(info, layer, h, bands))]);
    });
    tiles.replaceChildren(titles, ...rows);
    resize();
  }

  function tile(info, layer, h, bands) {
    const pattern = patternAt(info, h, bands);
    const node = spoken("gridcell", framed(make("div", `lk-tile lk-${pattern}`), pattern));
    const [title, ...lines] = tileWords(info, layer, h, bands);
    node.setAttribute("aria-label", `${title}: ${lines.join(", ")}`);
    node.words = [title, ...lines];
    [node.dataset.layer, node.dataset.head] = [layer, h];
    node.append(document.createElement("canvas"), make("i", "lk-mark"));
    return node;
  }

  function framed(node, pattern) {
    const { light, dark } = head.patterns[pattern] ?? {};
    if (light) node.style.setProperty("--light", light);
    if (dark) node.style.setProperty("--dark", dark);
    return node;
  }

  const spoken = (role, node) => {
    node.setAttribute("role", role);
    return node;
  };
  const row = (children) => {
    const node = spoken("row", make("div", "lk-row"));
    node.append(...children);
    return node;
  };

  // Tiles as large as the wall allows.
  function resize() {
    if (!head || !wall.clientWidth) return;
    const across = Math.max(...head.layers.map((info) => info.heads)) + 1;
    const room = Math.min((wall.clientWidth - LABEL) / across, TALLEST / head.layers.length);
    const tight = room - GAPS[0] < NO_PICTURE;
    const gap = GAPS[Number(tight)];
    root.style.setProperty("--tile", `${Math.min(LARGEST, Math.max(SMALLEST, Math.floor(room - gap)))}px`);
    root.style.setProperty("--gap", `${gap}px`);
    root.classList.toggle("lk-tight", tight);
  }

  function draw(state, shown, colours) {
    const tight = root.classList.contains("lk-tight");
    for (const node of tiles.querySelectorAll(".lk-tile")) {
      const [layer, h] = [Number(node.dataset.layer), Number(node.dataset.head)];
      const here = String(layer === state.layer && h === state.head);
      if (node.getAttribute("aria-selected") !== here) {
        node.setAttribute("aria-selected", here);
        node.tabIndex = here === "true" ? 0 : -1;
      }
      if (tight) continue;
      const map = shown(layer, h);
      const small = node.firstChild;
      if (map) paintCells(small, map, colours);
      else small.getContext("2d", { willReadFrequently: true }).clearRect(0, 0, small.width, small.height);
    }
  }

  const choose = (node, event) => {
    pick(Number(node.dataset.layer), Number(node.dataset.head), event);
    node.focus({ preventScroll: true });
  };
  tiles.addEventListener("click", (event) => {
    const node = event.target.closest(".lk-tile");
    if (node) choose(node, event);
  });
  tiles.addEventListener("keydown", (event) => {
    const node = event.target.closest(".lk-tile");
    const move = ACROSS[event.key];
    if (!move || !node) return;
    event.preventDefault();
    event.stopPropagation();
    const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
    const layer = clamp(Number(node.dataset.layer) + move[0], 0, head.layers.length - 1);
    const h = clamp(Number(node.dataset.head) + move[1], -1, head.layers[layer].heads - 1);
    choose(tiles.querySelector(`[data-layer="${layer}"][data-head="${h}"]`), event);
  });

  function explain(event) {
    const node = event.target.closest(".lk-tile");
    tip.hidden = !node;
    if (!node) return;
    const [title, ...lines] = node.words;
    tip.replaceChildren(make("b", "", title), ...lines.map((line) => make("span", "", line)));
    const onTheRight = node.offsetLeft + node.offsetWidth / 2 > wall.clientWidth / 2;
    tip.style.left = onTheRight ? "auto" : `${node.offsetLeft + node.offsetWidth + 10}px`;
    tip.style.right = onTheRight ? `${wall.clientWidth - node.offsetLeft + 10}px` : "auto";
    tip.style.top = `${node.offsetTop}px`;
  }
  for (const kind of ["pointerover", "focusin"]) tiles.addEventListener(kind, explain);
  for (const kind of ["pointerleave", "focusout"]) tiles.addEventListener(kind, () => { tip.hidden = true; });

  return { build, resize, draw };
}
