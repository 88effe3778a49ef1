// How far one unit sees, in two models side by side: its theoretical square as a line, its effective field as heat.
import { make } from "./dom.js";
import { makeGrowth } from "./field_chart.js";
import { around, cellOver, heatMap, heatOf, placeAt, shareOf, squareOf } from "./field_maps.js";
import { fieldLine, numbersOfLayer } from "./field_words.js";
import { makeFrame } from "./frame.js";
import { bytesOf, percent, within } from "./grid.js";
import { layHands } from "./hands.js";
import { gradioHost, jupyterHost } from "./hosts.js";
import { ASKING, makeStage, paintScale } from "./stage.js";

const SIDE_PAGE = (side) => `<section class="lk-side" data-side="${side}">
    <h2><i class="lk-mark lk-of-${side}"></i><span class="lk-title"></span></h2>
    <canvas class="lk-photo" tabindex="0" role="application" aria-roledescription="photo with a receptive field"></canvas>
    <label class="lk-depth"><span class="lk-layer"></span><input type="range" min="0" step="1"></label>
    <dl class="lk-numbers"></dl></section>`;

const FIELD_PAGE = `<div class="lk-pair">${SIDE_PAGE(0)}${SIDE_PAGE(1)}</div>
  <div class="lk-scale" aria-hidden="true"><span class="lk-low"></span><canvas></canvas><span class="lk-peak">100 %</span>
    <span class="lk-unit">how strongly a pixel moves the unit, of the strongest pixel</span></div>
  <div class="lk-controls">
    <div class="lk-choice lk-scales" role="group" aria-label="scale of the colours">
      <button type="button" data-scale="log">log</button><button type="button" data-scale="linear">linear</button></div>
    <div class="lk-choice lk-parts" role="group" aria-label="share of the heat that the dashed square holds"></div>
    <label class="lk-blend"><span>photo</span><input type="range" min="0" max="1" step="0.05"
      aria-label="blend, from photo to heat"><span>heat</span></label></div>
  <output class="lk-said" aria-live="polite"></output>
  <div class="lk-help"><span>click or drag to choose the unit</span>
    <span><kbd>←</kbd><kbd>→</kbd><kbd>↑</kbd><kbd>↓</kbd> unit · <kbd>,</kbd><kbd>.</kbd> layer · <kbd>l</kbd> log or linear</span></div>
  <h2 class="lk-caption">Growth with depth <span>hollow: at most · filled: in effect · click a point to go to that layer</span></h2>
  <div class="lk-growth"></div>`;

const REST_MS = 80; // keys and drags ask when the hand rests this long
const FIELD_RESTING = { layers: [-1, -1], place: [0.5, 0.5], scale: "log", part: 1 };

export function mount(el, host) {
  const view = makeFrame(el, { name: "field", page: FIELD_PAGE, host, resting: FIELD_RESTING, settle, draw, resize });
  const { root, state, find, change, schedule } = view;
  const growth = makeGrowth(find(".lk-growth"), (side, layer, event) => toLayer(side, layer, event));
  const sides = [0, 1].map(layOut);
  let head = null;
  let resting = 0;

  // One model's photo, its hands, its slider; `heats` are null while they are on their way.
  function layOut(side) {
    const part = find(`[data-side="${side}"]`);
    const photo = part.querySelector(".lk-photo");
    const slider = part.querySelector(".lk-depth input");
    const one = { part, photo, slider, stage: makeStage(photo), heats: [], hover: -1, picture: "" };
    slider.addEventListener("input", (event) => toLayer(side, Number(slider.value), event));
    const grid = () => layerOf(side).grid;
    const hands = { get ready() { return view.ready; }, change: (wish, { event }) => point(side, wish, event),
      state: { get query() { return cellOver(state.place, grid()); }, pinned: false } };
    layHands(photo, hands, { grid, more: (key) => more(side, key) });
    photo.addEventListener("pointerleave", () => { one.hover = -1; schedule(); });
    return one;
  }

  const layerOf = (side) => head.models[side].layers[state.layers[side]];
  const fresh = () => String(state.place) === String(head.place); // the heat that is here is of this place

  function toLayer(side, layer, event) {
    change({ layers: state.layers.map((at, i) => (i === side ? layer : at)) }, { event, later: true });
  }

  // What the hands on a photo wish: a hovering pointer only outlines, a press or a key asks.
  function point(side, wish, event) {
    const grid = layerOf(side).grid;
    if ("layers" in wish || "scale" in wish) return change(wish, { event });
    if (!("query" in wish)) return null;
    if (event.type === "pointermove" && !event.buttons) {
      sides[side].hover = wish.query;
      return schedule();
    }
    sides[side].hover = -1;
    if (wish.query === cellOver(state.place, grid) && fresh()) return null;
    change({ place: placeAt(wish.query, grid) }, { event, later: true });
    clearTimeout(resting);
    const asking = () => view.ask({ place: state.place, layers: state.layers });
    if (event.type === "pointerdown") return asking();
    resting = setTimeout(asking, REST_MS);
    return null;
  }

  function more(side, key) {
    const to = (layer) => ({ layers: state.layers.map((at, i) => (i === side ? layer : at)) });
    switch (key) {
      case ",": return to(Math.max(0, state.layers[side] - 1));
      case ".": return to(Math.min(head.models[side].layers.length - 1, state.layers[side] + 1));
      case "l": return { scale: state.scale === "log" ? "linear" : "log" };
      default: return null;
    }
  }

  function show(newHead, bodies, newState = {}) {
    const asked = head && head.key === newHead.key; // an answer to a click: the hand may be further on by now
    head = newHead;
    settle(asked ? {} : newState, state);
    const colours = bytesOf(head.colours);
    let at = 0;
    sides.forEach((one, side) => {
      const model = head.models[side];
      one.heats = model.layers.map(() => bodies[at++]).map((bytes) => (bytes ? heatOf(bytes) : null));
      one.colours = colours;
      one.slider.max = String(model.layers.length - 1);
      one.part.querySelector(".lk-title").textContent = model.title;
      one.photo.setAttribute("aria-label", `${model.title}: the field of a unit; arrow keys move the unit`);
      one.slider.setAttribute("aria-label", `layer of ${model.title}`);
      if (one.picture !== model.picture) one.stage.load(model.picture, () => begin());
      one.picture = model.picture;
    });
    buildParts();
    paintScale(find(".lk-scale canvas"), colours);
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
    const place = to.place ?? state.place;
    state.place = place.map((share) => (share >= 0 && share <= 1 ? share : 0.5));
    state.scale = ["log", "linear"].includes(to.scale) ? to.scale : state.scale;
    state.part = within(to.part ?? state.part, 0, head.parts.length - 1, 1);
  }

  function draw() {
    sides.forEach(drawSide);
    const chosen = head.models.map((model, side) => ({ ...model, at: state.layers[side], layer: layerOf(side) }));
    growth.draw(chosen, head.parts, state.part);
    find(".lk-said").textContent = fieldLine(chosen, head.parts, state.part);
    find(".lk-low").textContent = state.scale === "log" ? "≤ 0.01 %" : "0";
    for (const button of root.querySelectorAll("[data-scale]")) button.setAttribute("aria-pressed", String(button.dataset.scale === state.scale));
    for (const button of root.querySelectorAll("[data-part]")) button.setAttribute("aria-pressed", String(Number(button.dataset.part) === state.part));
  }

  function drawSide(one, side) {
    const { size } = head.models[side];
    const layer = layerOf(side);
    const heat = one.heats[state.layers[side]];
    const cell = cellOver(state.place, layer.grid);
    one.stage.clear();
    if (heat) one.stage.lay(heatMap(heat, size, layer.box, state.scale), one.colours);
    const square = fresh() ? layer.box : squareOf(layer, cell);
    if (square) one.stage.frame(inside(shareOf(square, size)), { thick: 2 });
    if (heat && fresh() && layer.sides[state.part] !== null)
      one.stage.frame(inside(shareOf(around(layer.centre, layer.sides[state.part]), size)), { thick: 1.5, dash: [5, 4] });
    if (one.hover >= 0 && one.hover !== cell) {
      one.stage.outline(one.hover, layer.grid, { colour: ASKING, thick: 1 });
      const ahead = squareOf(layer, one.hover);
      if (ahead) one.stage.frame(inside(shareOf(ahead, size)), { colour: ASKING, thick: 1, dash: [2, 3] });
    }
    one.stage.outline(cell, layer.grid, { colour: ASKING, thick: 2 });
    one.part.querySelector(".lk-layer").textContent = layer.name;
    one.slider.value = String(state.layers[side]);
    one.slider.setAttribute("aria-valuetext", layer.name);
    one.part.querySelector(".lk-numbers").replaceChildren(...numbersOfLayer(layer, head.parts, state.part).map(([name, value, means]) => {
      const row = make("div", "");
      row.title = means;
      row.append(make("dt", "", name), make("dd", "", value));
      return row;
    }));
  }

  // A line along the photo's border stays visible.
  const inside = ([top, left, bottom, right]) => [Math.max(top, 0.004), Math.max(left, 0.004), Math.min(bottom, 0.996), Math.min(right, 0.996)];

  function resize() {
    if (!view.ready) return;
    for (const { stage } of sides) stage.resize();
  }

  function buildParts() {
    find(".lk-parts").replaceChildren(...head.parts.map((part, i) => {
      const button = make("button", "", percent(part));
      button.type = "button";
      button.dataset.part = i;
      button.title = "the dashed square holds this share of the heat";
      button.addEventListener("click", (event) => change({ part: i }, { event }));
      return button;
    }));
  }

  for (const button of root.querySelectorAll("[data-scale]"))
    button.addEventListener("click", (event) => change({ scale: button.dataset.scale }, { event }));
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
