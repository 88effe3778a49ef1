// The live view of over-smoothing: a patch and its likes, the matrix of all of them, curves by depth, blocks left out.
import { makeFrame } from "./frame.js";
import { bytesOf, mapOf, middle, sameSpot, within } from "./grid.js";
import { layHands } from "./hands.js";
import { gradioHost, jupyterHost } from "./hosts.js";
import { ASKING, makeStage, paintScale } from "./stage.js";
import { makeBlocks } from "./smoothing_blocks.js";
import { openCosines, rowOf } from "./smoothing_cosines.js";
import { makeCurves } from "./smoothing_curves.js";
import { makeMatrix, OTHER } from "./smoothing_matrix.js";
import { layerName, likesLine, signed, tokensLine } from "./smoothing_words.js";

const PAGE = `<div class="lk-alike">
  <div class="lk-stage">
    <canvas class="lk-photo" tabindex="0" role="application" aria-roledescription="photo with cosines"></canvas>
    <div class="lk-scale" aria-hidden="true"><span class="lk-low"></span><canvas></canvas><span class="lk-peak"></span>
      <span class="lk-unit">cosine with the marked patch; white is 0</span></div>
    <output class="lk-said" aria-live="polite"></output>
    <div class="lk-controls">
      <div class="lk-choice" role="group" aria-label="tokens">
        <button type="button" data-centred="0">as they are</button><button type="button" data-centred="1">less their mean</button></div>
      <label class="lk-range lk-blend"><span>colours to</span><input type="range" min="0.1" max="1" step="0.05" aria-label="cosine at the end of the colours"><span></span></label>
      <label class="lk-mix lk-blend"><span>photo</span><input type="range" min="0" max="1" step="0.05" aria-label="blend, from photo to cosines"><span>cosines</span></label>
    </div>
    <div class="lk-help"><span>hover or drag to ask · click or <kbd>Enter</kbd> pins · <kbd>Esc</kbd> frees</span>
      <span><kbd>←</kbd><kbd>→</kbd><kbd>↑</kbd><kbd>↓</kbd> patch · <kbd>,</kbd><kbd>.</kbd> layer · <kbd>c</kbd> take the mean away</span></div>
  </div>
  <div class="lk-table">
    <canvas class="lk-matrix" tabindex="0" role="application" aria-roledescription="matrix of cosines"
      aria-label="cosines of all pairs of tokens; arrow keys move the pair"></canvas>
    <div class="lk-tokens-line"></div>
    <label class="lk-layer"><span>layer</span><input type="range" min="0" step="1" aria-label="layer"><output></output></label>
    <div class="lk-leave"><span>leave out</span><div class="lk-switches" role="group" aria-label="blocks to leave out"></div></div>
    <p class="lk-effect" role="status"></p>
  </div>
  <div class="lk-depth"><div class="lk-curves"></div><div class="lk-key-line"></div></div>
  <div class="lk-answers"></div></div>`;

const RESTING = { layer: 0, query: 0, pinned: false, other: -1, centred: false, range: 1, skip: "" };

// Build the view in `el`. `host.tell(state)` is called when the visitor moved, `host.ask(state)` when other blocks are to be left out.
export function mount(el, host) {
  const view = makeFrame(el, { name: "smoothing", page: PAGE, host, resting: RESTING, settle, draw, resize });
  const { root, state, find, change, schedule } = view;
  const photo = find(".lk-photo");
  const stage = makeStage(photo);
  const size = () => shown()[0] * shown()[1];
  const matrix = makeMatrix(find(".lk-matrix"), { size, where: () => [state.query, state.other], point, leave, press });
  const curves = makeCurves(find(".lk-curves"), (layer, event) => change({ layer }, { later: true, event }));
  const blocks = makeBlocks(root, (skip) => view.ask({ ...state, skip }));
  const slider = find(".lk-layer input");
  let head = null;
  let bodies = [];
  let opened = []; // the layers' cosines, unpacked when first looked at
  let colours = null;

  const info = () => head.layers[state.layer];
  const shown = () => info().shown;
  const cosines = () => {
    opened[state.layer] ??= openCosines(shown(), bodies[state.layer]);
    return opened[state.layer][state.centred ? "centred" : "raw"];
  };

  // ---- what is shown, and how it changes

  function show(newHead, newBodies, newState = {}) {
    const grid = head && shown();
    [head, bodies, opened] = [newHead, newBodies, []];
    colours = bytesOf(head.colours);
    settle({ query: grid ? sameSpot(state.query, grid, shownAt(newState.layer ?? state.layer)) : undefined, ...newState, skip: head.skipped.join("-") }, state);
    slider.max = String(head.layers.length - 1);
    curves.build(head);
    blocks.build(head);
    paintScale(find(".lk-scale canvas"), colours);
    photo.setAttribute("aria-label", `${head.model}: which patches are like the marked one; arrow keys move it`);
    stage.load(head.picture, () => {
      view.ready = true;
      resize();
      schedule();
    });
    schedule();
  }

  const shownAt = (layer) => head.layers[within(layer, 0, head.layers.length - 1, 0)].shown;

  function settle(to, state) {
    const before = shownAt(state.layer);
    state.layer = within(to.layer ?? state.layer, 0, head.layers.length - 1, 0);
    const grid = shown();
    const fits = (cell, other) => within(cell, 0, grid[0] * grid[1] - 1, other);
    state.query = fits(to.query ?? sameSpot(state.query, before, grid), middle(grid));
    state.other = fits(to.other ?? sameSpot(state.other, before, grid), -1);
    state.range = to.range >= 0.1 && to.range <= 1 ? to.range : state.range;
    for (const name of ["pinned", "centred", "skip"]) state[name] = to[name] ?? state[name];
  }

  function draw() {
    const row = rowOf(cosines(), state.query);
    stage.clear();
    stage.lay(mapOf(row, shown(), { low: -state.range, peak: state.range }), colours);
    if (state.other >= 0) stage.outline(state.other, shown(), { colour: OTHER, thick: 2 });
    stage.outline(state.query, shown(), { colour: ASKING, thick: state.pinned ? 3 : 2 });
    matrix.draw(cosines(), colours, state.range);
    curves.draw(state);
    root.dataset.grid = shown().join(" ");
    say();
  }

  function say() {
    find(".lk-said").textContent = likesLine(head, state, cosines());
    find(".lk-tokens-line").textContent = tokensLine(info());
    find(".lk-key-line").textContent = keyLine();
    find(".lk-low").textContent = signed(-state.range);
    find(".lk-peak").textContent = signed(state.range);
    find(".lk-range span:last-child").textContent = `±${signed(state.range)}`;
    find(".lk-range input").value = String(state.range);
    slider.value = String(state.layer);
    slider.setAttribute("aria-valuetext", layerName(head, state.layer));
    find(".lk-layer output").textContent = `${state.layer} · ${info().name}`;
    for (const button of root.querySelectorAll("[data-centred]"))
      button.setAttribute("aria-pressed", String((button.dataset.centred === "1") === state.centred));
  }

  function keyLine() {
    const parts = ["shaded: 5 to 95 % and 25 to 75 % of all pairs"];
    if (!state.centred && info().cls !== null) parts.push("dotted: the class token with the patches");
    parts.push("dashed: the most there could be; white noise");
    if (head.whole) parts.push("grey: with all blocks");
    return parts.join(" · ");
  }

  function resize() {
    if (!head) return;
    stage.resize();
    matrix.resize();
  }

  // ---- the matrix under the pointer: its row is the photo's patch, unless that is pinned

  function point(row, column, event) {
    if (!view.ready) return;
    const query = state.pinned && !event.key ? state.query : row;
    if (query !== state.query || column !== state.other) change({ query, other: column }, { later: true, event });
  }

  function leave(event) {
    if (view.ready && (state.other >= 0 || (event.key && state.pinned))) change({ other: -1, ...(event.key && { pinned: false }) }, { later: true, event });
  }

  function press(event) {
    change({ pinned: !state.pinned }, { event });
  }

  // ---- controls, and keys that only this view knows

  slider.addEventListener("input", (event) => change({ layer: Number(slider.value) }, { later: true, event }));
  for (const button of root.querySelectorAll("[data-centred]"))
    button.addEventListener("click", (event) => change({ centred: button.dataset.centred === "1" }, { event }));
  find(".lk-range input").addEventListener("input", (event) => change({ range: Number(event.target.value) }, { later: true, event }));
  find(".lk-mix input").value = String(stage.blend);
  find(".lk-mix input").addEventListener("input", (event) => {
    stage.blend = Number(event.target.value);
    resize();
    schedule();
  });

  function more(key) {
    const last = head.layers.length - 1;
    switch (key) {
      case ",": return { layer: state.layer > 0 ? state.layer - 1 : last };
      case ".": return { layer: state.layer < last ? state.layer + 1 : 0 };
      case "c": return { centred: !state.centred };
      default: return null;
    }
  }
  layHands(photo, view, { grid: shown, more });

  return Object.assign(view, { show });
}

export const inGradio = gradioHost(mount);
export default { render: jupyterHost(mount) };
