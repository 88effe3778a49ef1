// The live view of frequencies: filter the photo by hand, hear what the model says, look at what its layers let through.
import { make } from "./dom.js";
import { makeFrame } from "./frame.js";
import { bytesOf, numbersOf, percent, within } from "./grid.js";
import { gradioHost, jupyterHost } from "./hosts.js";
import { paintScale } from "./stage.js";
import { filteredOf, keptOf, levelsOf, passesOf, pixelsOf, powersOf, spectrumOf, variancesOf } from "./frequency_fft.js";
import { bandOf, bandWords, CORNER, crossingWords, cutUp, frequencyWords, PRESETS } from "./frequency_words.js";
import { drawCrossing, legendKey, makeSpectra } from "./frequency_charts.js";
import { hangCurtain } from "./frequency_curtain.js";
import { makeRings } from "./frequency_rings.js";
import { makeTiles } from "./frequency_tiles.js";

const PAGE = `<div class="lk-bandpass">
  <section class="lk-pane"><h2>What passes</h2>
    <div class="lk-curtained"><canvas class="lk-photo" tabindex="0" role="slider" aria-valuemin="0" aria-valuemax="100" aria-valuenow="0" aria-valuetext="what passes"></canvas><i
      class="lk-curtain" hidden></i></div>
    <div class="lk-controls">
      <button type="button" class="lk-whole" aria-pressed="false">show the whole photo</button>
      <label class="lk-stretch"><input type="checkbox"><span>stretch contrast</span></label></div>
    <p class="lk-note lk-size"></p></section>
  <section class="lk-pane"><h2>Its spectrum: drag the rings</h2>
    <canvas class="lk-rings" tabindex="0" role="slider" aria-valuemin="0" aria-valuemax="0.71"
      aria-label="spectrum of the photo with the band as two rings; arrow keys move a ring, Enter takes the other, m the mean"></canvas>
    <div class="lk-scale" aria-hidden="true"><span>10⁻⁵</span><canvas></canvas><span class="lk-peak">0.1</span>
      <span class="lk-unit">amplitude of a wave, of full white (log)</span></div>
    <p class="lk-note">In the middle the mean, at the edges Nyquist (0.5 cycles per pixel), in the corners the checkerboard (0.71).</p></section>
  <section class="lk-pane lk-band">
    <h2>The band</h2>
    <label class="lk-knob"><span>low cutoff</span><input type="range" name="low" min="0" max="${CORNER}" step="0.002"><output></output></label>
    <label class="lk-knob"><span>high cutoff</span><input type="range" name="high" min="0" max="${CORNER}" step="0.002"><output></output></label>
    <div class="lk-controls"><div class="lk-presets" role="group" aria-label="bands">
        <button type="button" data-preset="everything">all</button><button type="button" data-preset="coarse">coarse</button><button
          type="button" data-preset="fine">fine</button></div>
      <label class="lk-mean"><input type="checkbox"><span>keep the mean</span></label></div>
    <output class="lk-said" aria-live="polite"></output>
    <h2>The model’s answer</h2>
    <div class="lk-answers" role="group" aria-label="the five likeliest, for the whole photo and for what passes"></div></section>
</div>
<div class="lk-inside">
  <section><h2>What the layers hold: spectra by depth</h2>
    <div class="lk-spectra"></div>
    <div class="lk-legend"></div>
    <label class="lk-knob lk-layer"><span>layer</span><input type="range" name="layer" min="0" step="1"><output></output></label></section>
  <section><h2>What the filters of this layer let through</h2>
    <div class="lk-banks"></div>
    <div class="lk-scale" aria-hidden="true"><span>0.01</span><canvas></canvas><span class="lk-peak">1</span>
      <span class="lk-unit">gain, of each filter’s largest (log); the mean in the middle</span></div></section>
</div>
<section class="lk-crossing"><h2>Which half does the answer hang on?</h2>
  <p class="lk-note">All photos of the lab, cut at ten cutoffs: how many answers stay with the coarser half alone, and with the finer?
    The mean follows the switch above.</p>
  <div class="lk-controls"><button type="button" class="lk-ask">ask at all cutoffs</button></div>
  <div class="lk-crossing-chart" hidden></div>
  <div class="lk-legend" hidden></div>
  <output class="lk-crossing-said"></output></section>
<div class="lk-help"><span>drag a ring on the spectrum · pass over the photo: left of the pointer it is whole · click a curve or move the slider for the layer · click a plane for its curve</span>
  <span>on the spectrum: <kbd>←</kbd><kbd>→</kbd> move a ring, with <kbd>Shift</kbd> faster · <kbd>Enter</kbd> the other ring · <kbd>m</kbd> the mean · on the photo: <kbd>←</kbd><kbd>→</kbd> compare, <kbd>↑</kbd> the whole, <kbd>↓</kbd> what passes</span></div>`;

const RESTING = { low: 0, high: CORNER, mean: true, layer: 0, head: -1, sweep: false };
const REST_MS = 350; // a hand that has not moved for so long wants an answer

// `host.ask({ low, high, mean, sweep })`: the model's answer for this band, and with `sweep` for all cutoffs.
export function mount(el, host) {
  const view = makeFrame(el, { name: "frequency", page: PAGE, host, resting: RESTING, settle, draw, resize });
  const { root, state, find, change, schedule } = view;
  const photo = find(".lk-photo");
  const rings = makeRings(find(".lk-rings"), {
    wish: (to, event) => change(to, { later: true, event }),
    flip: (event) => change({ mean: !state.mean }, { event }),
    band: () => state,
  });
  const spectra = makeSpectra(find(".lk-spectra"), (layer, event) => change({ layer }, { event }));
  const tiles = makeTiles(find(".lk-banks"), (head, event) => change({ head }, { event }));
  let head = null;
  let photoIs = null; // what was computed of the photo once: pixels, spectrum, variances
  let after = []; // the spectra of the filtered photo
  const curtain = hangCurtain(photo, find(".lk-curtain"), schedule);
  let drawn = ""; // what the photo shows
  let filtered = { of: "", pixels: null }; // what passes, and for which band it was computed
  let asked = ""; // the band that Python was asked for last
  let askedAgain = ""; // for which band the question was repeated
  let asking = 0;
  let showsWhole = false;

  // ---- what is shown, and how it changes

  function show(newHead, [pixels, before, passed, levels, radials], newState = {}) {
    const reading = [newHead.model, newHead.untrained, numbersOf(pixels, Uint8Array).join()].join(" ");
    const same = photoIs?.reading === reading;
    head = newHead;
    if (!same) {
      photoIs = { reading, ...measured(numbersOf(pixels, Uint8Array)) };
      drawn = "";
    }
    const counts = head.layers.map((layer) => layer.rings);
    after = cutUp(numbersOf(passed), counts);
    spectra.build(head, cutUp(numbersOf(before), counts));
    const colours = bytesOf(head.colours);
    if (!same) {
      tiles.build(head, numbersOf(levels, Uint8Array), numbersOf(radials), colours);
      rings.build(photoIs.levels, head.side, head.modelSide, colours);
    }
    for (const scale of root.querySelectorAll(".lk-scale canvas")) paintScale(scale, colours);
    find("[name=layer]").max = String(head.layers.length - 1);
    find(".lk-size").textContent = sizeWords(head);
    // The hand has moved on while Python was computing: it keeps what it holds.
    settle(same ? { sweep: newState.sweep } : newState, state);
    view.ready = true;
    drawAnswers();
    resize();
    schedule();
    if (same && Object.entries(newState).some(([name, value]) => name in state && state[name] !== value)) host.tell({ ...state });
  }

  function measured(rgb) {
    const pixels = new Uint8Array((4 * rgb.length) / 3);
    for (let i = 0; i < rgb.length; i++) pixels[4 * Math.floor(i / 3) + (i % 3)] = rgb[i];
    const spectrum = spectrumOf(pixels, head.side);
    const powers = powersOf(spectrum);
    const opaque = Uint8ClampedArray.from(pixels, (value, i) => (i % 4 === 3 ? 255 : value));
    return { opaque, spectrum, variances: variancesOf(powers, head.spread), levels: levelsOf(powers, head.side) };
  }

  function settle(to, state) {
    const wished = { low: to.low ?? state.low, high: to.high ?? state.high };
    Object.assign(state, bandOf(wished, state));
    state.mean = to.mean ?? state.mean;
    state.sweep = to.sweep ?? state.sweep;
    const layer = within(to.layer ?? state.layer, 0, head.layers.length - 1, head.layers.length - 1);
    if (layer !== state.layer && to.head === undefined) state.head = -1;
    state.layer = layer;
    state.head = within(to.head ?? state.head, -1, tiles.count(layer) - 1, -1);
  }

  const bandNow = () => `${state.low} ${state.high} ${state.mean}`;
  const answered = () => `${head.answer.low} ${head.answer.high} ${head.answer.mean}`;

  // ---- drawing

  function draw() {
    drawPhoto();
    rings.draw(state);
    spectra.draw(state, after[state.layer]);
    tiles.draw(state);
    for (const name of ["low", "high"]) {
      const input = find(`[name=${name}]`);
      input.value = String(state[name]);
      input.setAttribute("aria-valuetext", frequencyWords(state[name]));
      input.nextElementSibling.textContent = frequencyWords(state[name]);
    }
    find(".lk-mean input").checked = state.mean;
    for (const button of root.querySelectorAll("[data-preset]")) {
      const { low, high } = PRESETS[button.dataset.preset];
      button.setAttribute("aria-pressed", String(state.low === low && state.high === high));
    }
    const slider = find("[name=layer]");
    const { name, grid, high } = head.layers[state.layer];
    slider.value = String(state.layer);
    slider.nextElementSibling.textContent = `${state.layer} · ${name} · ${grid.join(" × ")} cells · ${percent(high)} of its variance is beyond 0.25`;
    slider.setAttribute("aria-valuetext", slider.nextElementSibling.textContent);
    drawCrossings();
    const stale = bandNow() !== answered();
    find(".lk-answers").classList.toggle("lk-stale", stale);
    find(".lk-spectra").classList.toggle("lk-stale-after", stale);
    clearTimeout(asking);
    if (stale && bandNow() !== asked) asking = setTimeout(() => askFor(state.sweep && head.crossing?.mean === state.mean), REST_MS);
  }

  function askFor(sweep) {
    asked = bandNow();
    const { low, high, mean } = state;
    view.ask({ low, high, mean, sweep });
  }

  // Gradio drops what is asked while a stopped question still runs out: what is open then is asked once more.
  const isBusy = view.busy;
  function busy(on) {
    isBusy(on);
    if (on || askedAgain === asked) return;
    askedAgain = asked;
    asked = "";
    schedule();
  }

  function drawPhoto() {
    const { side, modelSide, ground } = head;
    const stretch = find(".lk-stretch input").checked;
    const cut = showsWhole ? side : Math.round((curtain.at ?? 0) * side);
    const band = `${bandNow()} ${stretch}`;
    const wanted = `${band} ${showsWhole} ${cut}`;
    if (wanted === drawn) return;
    if (filtered.of !== band || drawn === "") {
      const passes = passesOf(photoIs.spectrum, state.low * modelSide, state.high * modelSide, state.mean);
      const kept = keptOf(photoIs.variances, passes);
      root.dataset.kept = kept.toFixed(4);
      find(".lk-said").textContent = bandWords(state, kept);
      filtered = { of: band, pixels: pixelsOf(filteredOf(photoIs.spectrum, passes, ground), side, stretch) };
    }
    drawn = wanted;
    if (photo.width !== side) photo.width = photo.height = side;
    const ink = photo.getContext("2d");
    ink.putImageData(new ImageData(filtered.pixels, side, side), 0, 0);
    if (cut > 0) ink.putImageData(new ImageData(photoIs.opaque, side, side), 0, 0, 0, 0, cut, side);
    photo.setAttribute("aria-label", `${head.model}: ${showsWhole ? "the whole photo" : find(".lk-said").textContent}; arrow keys draw the whole photo over it`);
  }

  function drawAnswers() {
    const lists = [["whole photo", head.top], ["what passes", head.answer.top]].map(([title, top]) => {
      const list = make("div", "lk-answer");
      list.append(make("b", "", title), ...top.map(([category, chance]) => {
        const row = make("div", category === head.answer.label ? "lk-row lk-followed" : "lk-row");
        const bar = make("i", "");
        bar.style.width = `${100 * chance}%`;
        row.append(make("span", "", category), make("span", "", percent(chance)), bar);
        return row;
      }));
      return list;
    });
    const { label, chance } = head.answer;
    const before = head.top.length ? head.top[0][1] : 0;
    const note = label === null ? "This model names no categories." : `${label}: ${percent(before)} before, ${percent(chance)} now.${head.untrained ? " Random weights: names are noise." : ""}`;
    find(".lk-answers").replaceChildren(...(label === null ? [] : lists), make("p", "lk-note", note));
  }

  function drawCrossings() {
    const { crossing } = head;
    const chart = find(".lk-crossing-chart");
    const legend = find(".lk-crossing .lk-legend");
    chart.hidden = legend.hidden = crossing === null;
    find(".lk-crossing-said").textContent = crossing === null ? "" : crossingWords(crossing);
    find(".lk-ask").disabled = crossing !== null && crossing.mean === state.mean;
    if (crossing !== null) drawCrossing(chart, crossing, state);
  }

  function resize() {
    if (head) rings.resize();
  }

  // ---- buttons

  for (const name of ["low", "high"])
    find(`[name=${name}]`).addEventListener("input", (event) => change({ [name]: Number(event.target.value) }, { later: true, event }));
  find("[name=layer]").addEventListener("input", (event) => change({ layer: Number(event.target.value) }, { later: true, event }));
  find(".lk-mean input").addEventListener("change", (event) => change({ mean: event.target.checked }, { event }));
  for (const button of root.querySelectorAll("[data-preset]"))
    button.addEventListener("click", (event) => change({ ...PRESETS[button.dataset.preset] }, { event }));
  find(".lk-stretch input").addEventListener("change", schedule);
  find(".lk-whole").addEventListener("click", (event) => {
    showsWhole = !showsWhole;
    event.target.setAttribute("aria-pressed", String(showsWhole));
    schedule();
  });
  find(".lk-ask").addEventListener("click", () => askFor(true));
  find(".lk-inside .lk-legend").append(
    legendKey("lk-key-chosen", "this layer"), legendKey("lk-key-depth", "others, first to last"), legendKey("lk-key-after", "this layer, filtered photo"));
  find(".lk-crossing .lk-legend").append(
    legendKey("lk-key-coarse", "the coarser half alone"), legendKey("lk-key-fine", "the finer half alone"), legendKey("lk-key-wall", "your band"));

  return Object.assign(view, { show, busy });
}

function sizeWords({ side, modelSide }) {
  const size = `${modelSide} × ${modelSide} pixels, as the model gets it`;
  return side === modelSide ? `${size}.` : `Shown at ${side} of ${modelSide} pixels a side: what is finer than ${(side / modelSide / 2).toFixed(2)} cycles per pixel is not on this screen.`;
}

export const inGradio = gradioHost(mount);
export default { render: jupyterHost(mount) };
