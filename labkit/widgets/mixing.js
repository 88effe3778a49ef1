// Who mixes whom, in two models side by side: one place, what it is made of or where it goes, in every block of both.
import { make } from "./dom.js";
import { makeFrame } from "./frame.js";
import { bytesOf, within } from "./grid.js";
import { layHands } from "./hands.js";
import { gradioHost, jupyterHost } from "./hosts.js";
import { makeApart } from "./mixing_apart.js";
import { makePlane } from "./mixing_chart.js";
import { cellUnder, middleOf, mixingMap, normsOf, ownAndBest, ownCells, PART_NAMES, sharesOf, shownOf } from "./mixing_maps.js";
import { measured, mixingLine, numbersOfBlock, PART_TITLES } from "./mixing_words.js";
import { ASKING, makeStage, paintScale } from "./stage.js";

const MIXING_SIDE = (side) => `<section class="lk-side" data-side="${side}">
    <h2><i class="lk-mark lk-of-${side}"></i><span class="lk-title"></span></h2>
    <canvas class="lk-photo" tabindex="0" role="application" aria-roledescription="photo with a mixing map"></canvas>
    <label class="lk-depth"><span class="lk-layer"></span><input type="range" min="0" step="1"></label>
    <p class="lk-measured"></p><dl class="lk-numbers"></dl></section>`;

const MIXING_PAGE = `<div class="lk-pair">${MIXING_SIDE(0)}${MIXING_SIDE(1)}</div>
  <div class="lk-scale" aria-hidden="true"><span class="lk-low"></span><canvas></canvas><span class="lk-peak"></span>
    <span class="lk-unit"></span></div>
  <div class="lk-controls">
    <div class="lk-choice lk-ways" role="group" aria-label="direction">
      <button type="button" data-reverse="false">made of</button><button type="button" data-reverse="true">goes to</button></div>
    <div class="lk-choice lk-scales" role="group" aria-label="scale of the colours">
      <button type="button" data-scale="linear">linear</button><button type="button" data-scale="log">log</button></div>
    <label class="lk-skip"><input type="checkbox"><span>with the skip connection</span></label>
    <label class="lk-blend"><span>photo</span><input type="range" min="0" max="1" step="0.05"
      aria-label="blend, from photo to map"><span>map</span></label></div>
  <output class="lk-said" aria-live="polite"></output>
  <div class="lk-help"><span>point at a place, click to hold it</span>
    <span><kbd>←</kbd><kbd>→</kbd><kbd>↑</kbd><kbd>↓</kbd> place · <kbd>,</kbd><kbd>.</kbd> block · <kbd>r</kbd> made of or goes to · <kbd>l</kbd> log or linear</span></div>
  <h2 class="lk-caption">All blocks on one plane <span>marks grow with depth · click one to go to that block</span></h2>
  <div class="lk-plane"></div>
  <p class="lk-note lk-plane-note"></p>
  <h2 class="lk-caption">Attention is not all of the mixing <span>the same place, the attention layer alone · click a map to see it above</span></h2>
  <div class="lk-apart"></div>`;

const MIXING_RESTING = { layers: [-1, -1], place: [0.5, 0.5], reverse: false, shown: "block", scale: "linear", pinned: false };

export function mount(el, host) {
  const view = makeFrame(el, { name: "mixing", page: MIXING_PAGE, host, resting: MIXING_RESTING, settle, draw, resize });
  const { root, state, find, change, schedule } = view;
  const plane = makePlane(find(".lk-plane"), (side, layer, event) => toLayer(side, layer, event));
  const apart = makeApart(find(".lk-apart"), (shown, event) => change({ shown: shown === state.shown ? "block" : shown }, { event }));
  const sides = [0, 1].map(layOut);
  let head = null;

  // One model's photo, its hands, its slider; `bodies` holds a block's matrices, null while they are on their way.
  function layOut(side) {
    const part = find(`[data-side="${side}"]`);
    const photo = part.querySelector(".lk-photo");
    const slider = part.querySelector(".lk-depth input");
    slider.addEventListener("input", (event) => toLayer(side, Number(slider.value), event));
    const grid = () => askingGrid(side);
    const hands = { get ready() { return view.ready; },
      state: { get query() { return cellUnder(state.place, grid()); }, get pinned() { return state.pinned; } },
      change: ({ query, ...wish }, how) => change(query === undefined ? wish : { ...wish, place: middleOf(query, grid()) }, how) };
    layHands(photo, hands, { grid, more: (key) => more(side, key) });
    return { part, photo, slider, stage: makeStage(photo), bodies: [], picture: "" };
  }

  const layerOf = (side) => head.models[side].layers[state.layers[side]];
  const shownAt = (side) => shownOf(layerOf(side), sides[side].bodies[state.layers[side]], state.shown);

  // The grid of those who ask: of the output, or reversed of the input. While nothing is there, that of the tokens.
  function askingGrid(side) {
    const found = shownAt(side);
    return found ? (state.reverse ? found.keyGrid : found.grid) : layerOf(side).tokens;
  }

  function toLayer(side, layer, event) {
    change({ layers: state.layers.map((at, i) => (i === side ? layer : at)) }, { event, later: true });
  }

  function more(side, key) {
    const to = (layer) => ({ layers: state.layers.map((at, i) => (i === side ? layer : at)) });
    switch (key) {
      case ",": return to(Math.max(0, state.layers[side] - 1));
      case ".": return to(Math.min(head.models[side].layers.length - 1, state.layers[side] + 1));
      case "l": return { scale: state.scale === "log" ? "linear" : "log" };
      case "r": return { reverse: !state.reverse };
      default: return null;
    }
  }

  function show(newHead, bodies, newState = {}) {
    const further = head && head.key === newHead.key; // more of the same has come: the visitor stays where they are
    head = newHead;
    settle(further ? {} : newState, state);
    let at = 0;
    sides.forEach((one, side) => {
      const model = head.models[side];
      one.bodies = model.layers.map(() => ["block", ...PART_NAMES].map(() => bodies[at++]).map((bytes) => (bytes ? normsOf(bytes) : null)));
      one.slider.max = String(model.layers.length - 1);
      one.part.querySelector(".lk-title").textContent = model.title;
      one.photo.setAttribute("aria-label", `${model.title}: what a place is made of; arrow keys move the place`);
      one.slider.setAttribute("aria-label", `block of ${model.title}`);
      if (one.picture !== model.picture) one.stage.load(model.picture, begin);
      one.picture = model.picture;
    });
    head.table = bytesOf(head.colours);
    apart.load(head.models, begin);
    paintScale(find(".lk-scale canvas"), head.table);
    find(".lk-skip input").checked = head.skip;
    find(".lk-plane-note").textContent = `Each number is an estimate, from ${[...new Set(head.models.map(({ probes }) => probes))].join(" and ")} random probes a query; few probes read a little local. `
      + `Grids with more than ${head.most} cells along a side are seen in squares of tokens, at most ${head.most} along a side. The zones belong to grids of about 14 × 14, and NMI is drawn on a square-root scale.`;
    begin();
  }

  function begin() {
    if (!sides.every(({ stage }) => stage.ready)) return;
    view.ready = true;
    resize();
    schedule();
  }

  function settle(to, state) {
    if (!head) return;
    const layers = to.layers ?? state.layers;
    state.layers = head.models.map((model, side) => within(layers[side], 0, model.layers.length - 1, Math.floor(model.layers.length / 2)));
    state.place = (to.place ?? state.place).map((share) => (share >= 0 && share <= 1 ? share : 0.5));
    state.reverse = Boolean(to.reverse ?? state.reverse);
    state.pinned = Boolean(to.pinned ?? state.pinned);
    state.shown = ["block", ...PART_NAMES].includes(to.shown) ? to.shown : state.shown;
    state.scale = ["log", "linear"].includes(to.scale) ? to.scale : state.scale;
  }

  function draw() {
    const found = sides.map(drawSide);
    plane.draw(head.models, state.layers);
    apart.draw(head.models.map((model, side) => ({ model, layer: layerOf(side), bodies: sides[side].bodies[state.layers[side]] })), state, head.table);
    find(".lk-said").textContent = mixingLine(found, state.reverse);
    find(".lk-low").textContent = state.scale === "log" ? "≤ 0.1 %" : "0";
    find(".lk-peak").textContent = state.scale === "log" ? "100 %" : "strongest elsewhere";
    find(".lk-unit").textContent = state.reverse ? "how much each place takes from the framed one, as shares of all that goes out from it"
      : "how much each place adds to the framed one, as shares of all that comes in";
    for (const name of ["scale", "reverse"])
      for (const button of root.querySelectorAll(`button[data-${name}]`)) button.setAttribute("aria-pressed", String(button.dataset[name] === String(state[name])));
  }

  // Paints one side; what it shows in numbers, for the line below.
  function drawSide(one, side) {
    const layer = layerOf(side);
    const shown = shownAt(side);
    const { title } = head.models[side];
    one.stage.clear();
    let found = null;
    if (shown) {
      const [asking, asked] = state.reverse ? [shown.keyGrid, shown.grid] : [shown.grid, shown.keyGrid];
      const cell = cellUnder(state.place, asking);
      const shares = sharesOf(shown.norms, shown.keyGrid[0] * shown.keyGrid[1], cell, state.reverse);
      const own = ownCells(cell, asking, asked);
      found = { cell, grid: asking, to: asked, ...ownAndBest(shares, own) };
      one.stage.lay(mixingMap(shares, asked, state.scale, own), head.table);
      if (found.best >= 0) one.stage.outline(found.best, asked, { dash: [3, 3], thick: 1.25 });
      one.stage.outline(cell, asking, { colour: ASKING, thick: state.pinned ? 3 : 2 });
    }
    one.part.querySelector(".lk-layer").textContent = layer.name;
    one.slider.value = String(state.layers[side]);
    one.slider.setAttribute("aria-valuetext", layer.name);
    one.part.querySelector(".lk-measured").textContent = shown && shown.part !== "block" ? `shown: ${layer.parts.layer}, ${PART_TITLES[shown.part]}; in numbers: the block` : measured(layer);
    one.part.querySelector(".lk-numbers").replaceChildren(...numbersOfBlock(layer).map(([name, value, means]) => {
      const row = make("div", "");
      row.title = means;
      row.append(make("dt", "", name), make("dd", "", value));
      return row;
    }));
    return { title, name: layer.name, part: shown?.part ?? "block", found };
  }

  function resize() {
    if (!view.ready) return;
    for (const { stage } of sides) stage.resize();
    apart.resize();
  }

  for (const button of root.querySelectorAll("[data-scale]"))
    button.addEventListener("click", (event) => change({ scale: button.dataset.scale }, { event }));
  for (const button of root.querySelectorAll("[data-reverse]"))
    button.addEventListener("click", (event) => change({ reverse: button.dataset.reverse === "true" }, { event }));
  const skip = find(".lk-skip input");
  skip.addEventListener("change", () => view.ask({ ...state, skip: skip.checked }));
  const blend = find(".lk-blend input");
  blend.value = "0.7";
  blend.addEventListener("input", () => {
    for (const { stage } of sides) stage.blend = Number(blend.value);
    resize();
    schedule();
  });

  return Object.assign(view, { show });
}

export const inGradio = gradioHost(mount);
export default { render: jupyterHost(mount) };
