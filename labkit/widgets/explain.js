// Which pixels decided: two methods on one photo with a divider between, RISE as it converges, and the film that tests both.
import { make } from "./dom.js";
import { FILM_PAGE, makeFilm } from "./explain_film.js";
import { mapOfSide, onScale, valueUnder } from "./explain_maps.js";
import { drawRise, RISE_PAGE } from "./explain_rise.js";
import { digits, valuesLine } from "./explain_words.js";
import { makeFrame } from "./frame.js";
import { bytesOf, numbersOf, within } from "./grid.js";
import { layHands } from "./hands.js";
import { gradioHost, jupyterHost } from "./hosts.js";
import { ASKING, makeStage, paintScale } from "./stage.js";

const SIDES = ["left", "right"];
const MENU = (side) => `<label class="lk-menu" data-side="${side}"><i class="lk-mark lk-of-${side}"></i>
    <select class="lk-method" aria-label="method at the ${SIDES[side]}"></select></label>`;
const BAR = (side) => `<div class="lk-bar" data-side="${side}"><div class="lk-ramp"><canvas></canvas><i class="lk-here"></i></div>
    <div class="lk-ends"><span class="lk-low"></span><span class="lk-peak"></span></div>
    <div class="lk-unit"></div><div class="lk-note"></div></div>`;

const EXPLAIN_PAGE = `<div class="lk-frame"><div class="lk-stage">
    <div class="lk-menus">${MENU(0)}${MENU(1)}</div>
    <div class="lk-holder"><canvas class="lk-photo" tabindex="0" role="application" aria-roledescription="photo with two maps"></canvas>
      <div class="lk-divider" role="slider" tabindex="0" aria-orientation="horizontal" aria-label="divider between the maps" aria-valuemin="0" aria-valuemax="100"><b aria-hidden="true">◂▸</b></div></div>
    <div class="lk-bars" aria-hidden="true">${BAR(0)}${BAR(1)}</div>
    <output class="lk-said" aria-live="polite"></output>
    <div class="lk-controls"><label><span>class</span><select class="lk-class" aria-label="class that is explained"></select></label>
      <label class="lk-blend"><span>photo</span><input type="range" min="0" max="1" step="0.05" aria-label="blend, from photo to maps"><span>maps</span></label></div>
    <div class="lk-help"><span>hover reads both maps · drag the divider</span>
      <span><kbd>←</kbd><kbd>→</kbd><kbd>↑</kbd><kbd>↓</kbd> place · <kbd>,</kbd><kbd>.</kbd> film · <kbd>[</kbd><kbd>]</kbd> divider</span></div>
  </div><div class="lk-tests">${FILM_PAGE}${RISE_PAGE}</div></div>`;

const READING = [32, 32]; // the places that are read off
const BY_HAND = ["divider", "blend", "step", "way"]; // what no answer moves
const EXPLAIN_RESTING = { left: "", right: "", target: -1, masks: 0, seed: 0, divider: 0.5, blend: 0.65, step: 0, way: "deletion", query: -1, pinned: false };

export function mount(el, host) {
  const view = makeFrame(el, { name: "explain", page: EXPLAIN_PAGE, host, resting: EXPLAIN_RESTING, settle, draw, resize });
  const { root, state, find, change, schedule } = view;
  const photo = find(".lk-photo");
  const stage = makeStage(photo);
  const divider = find(".lk-divider");
  const film = makeFilm(find, (to, event) => change(to, { later: true, event }));
  stage.smooth = true;
  let head = null;
  let sides = [];
  let steps = 0;
  let film_of = "";

  function show(newHead, bodies, newState = {}) {
    const again = head && head.key === newHead.key; // an answer to a menu: the hand stays where it is
    const pictured = head?.picture;
    head = newHead;
    sides = head.sides.map((side, i) => {
      const [values, error, turn] = bodies.slice(3 * i, 3 * i + 3);
      const colours = bytesOf(head.colours[side.signed ? "signed" : "even"]);
      const numbers = numbersOf(values);
      return { ...side, values: numbers, map: mapOfSide(side, numbers), colours, error: error ? numbersOf(error) : null, turn: turn ? numbersOf(turn, Uint16Array) : null };
    });
    steps = film.build(sides) || steps;
    settle({ ...(again ? {} : newState), left: sides[0].method, right: sides[1].method, target: head.target, masks: head.masks, seed: head.seed }, state);
    if (again && view.ready && BY_HAND.some((name) => newState[name] !== undefined && newState[name] !== state[name])) change({}, { later: true });
    buildMenus();
    photo.setAttribute("aria-label", `${head.model}: ${sides.map(({ title }) => title).join(" beside ")}; arrow keys move the place that is read`);
    const stock = head.stock.join();
    if (film_of !== stock) film.load(head.size, head.stock, schedule);
    film_of = stock;
    if (pictured !== head.picture) stage.load(head.picture, begin);
    else begin();
  }

  function begin() {
    if (!stage.ready) return;
    view.ready = true;
    resize();
    schedule();
  }

  function settle(to, state) {
    for (const name of ["left", "right", "target", "masks", "seed", "pinned"]) state[name] = to[name] ?? state[name];
    for (const name of ["divider", "blend"]) state[name] = to[name] >= 0 && to[name] <= 1 ? Math.round(1000 * to[name]) / 1000 : state[name];
    state.way = ["deletion", "insertion"].includes(to.way) ? to.way : state.way;
    state.step = Number.isInteger(to.step) ? Math.max(0, to.step) : state.step;
    if (steps) state.step = Math.min(steps, state.step);
    state.query = within(to.query ?? state.query, 0, READING[0] * READING[1] - 1, -1);
    stage.blend = state.blend;
  }

  function draw() {
    if (stage.drawn !== state.blend) stage.resize();
    stage.drawn = state.blend;
    stage.clear();
    sides.forEach((side, i) => stage.lay(side.map, side.colours, i ? { from: state.divider } : { to: state.divider }));
    if (state.query >= 0) stage.outline(state.query, READING, { colour: ASKING, thick: state.pinned ? 3 : 2 });
    drawDivider();
    film.draw(state);
    drawRise(find(".lk-rise"), sides.find(({ masks }) => masks));
    say();
  }

  function drawDivider() {
    const at = Math.round(100 * state.divider);
    divider.style.left = `${100 * state.divider}%`;
    divider.setAttribute("aria-valuenow", String(at));
    divider.setAttribute("aria-valuetext", `${sides[0].title} on ${at} %, ${sides[1].title} on ${100 - at} % of the width`);
  }

  const placeRead = () => [(Math.floor(state.query / READING[1]) + 0.5) / READING[0], ((state.query % READING[1]) + 0.5) / READING[1]];

  function say() {
    const read = state.query < 0 ? null : sides.map(({ title, unit, grid, values, error }) => {
      const under = (numbers) => valueUnder(numbers, grid, placeRead());
      return { title, unit, value: under(values), error: error ? under(error) : null };
    });
    find(".lk-said").textContent = read ? valuesLine(state.query, READING, read) : "Point at the photo to read both maps there.";
    sides.forEach((side, i) => {
      const here = find(`.lk-bar[data-side="${i}"] .lk-here`);
      here.hidden = !read;
      if (read) here.style.left = `${100 * onScale(side, read[i].value)}%`;
    });
    find(".lk-blend input").value = String(state.blend);
  }

  function resize() {
    if (view.ready) stage.resize();
  }

  function buildMenus() {
    SIDES.forEach((name, i) => {
      const menu = find(`.lk-menu[data-side="${i}"] select`);
      if (!menu.options.length) {
        menu.append(...head.kinds.map(([kind, methods]) => {
          const group = make("optgroup", "");
          group.label = kind;
          group.append(...methods.map(([method, title]) => new Option(title, method)));
          return group;
        }));
      }
      menu.value = state[name];
      const bar = find(`.lk-bar[data-side="${i}"]`);
      const side = sides[i];
      paintScale(bar.querySelector("canvas"), side.colours);
      const told = { ".lk-low": digits(side.low), ".lk-peak": digits(side.peak), ".lk-unit": side.signed ? `${side.unit}; white is 0` : side.unit, ".lk-note": [side.layer && `read at ${side.layer}`, !side.masks && side.note].filter(Boolean).join(". ") };
      for (const [selector, text] of Object.entries(told)) bar.querySelector(selector).textContent = text;
    });
    find(".lk-class").replaceChildren(...head.classes.map(({ index, name, chance }) => new Option(`${name}, ${Math.round(100 * chance)} %`, String(index))));
    find(".lk-class").value = String(head.target);
    const counts = [...new Set([...head.choices, head.masks])].sort((a, b) => a - b);
    find(".lk-masks").replaceChildren(...counts.map((count) => new Option(String(count), String(count))));
    find(".lk-masks").value = String(head.masks);
  }

  // ---- menus ask Python; all else is drawn here

  const wish = (to) => view.ask({ ...state, ...to });
  SIDES.forEach((name, i) => find(`.lk-menu[data-side="${i}"] select`).addEventListener("change", (event) => wish({ [name]: event.target.value })));
  find(".lk-class").addEventListener("change", (event) => wish({ target: Number(event.target.value) }));
  find(".lk-masks").addEventListener("change", (event) => wish({ masks: Number(event.target.value) }));
  find(".lk-seed").addEventListener("click", () => wish({ seed: state.seed + 1 }));
  find(".lk-blend input").addEventListener("input", (event) => change({ blend: Number(event.target.value) }, { later: true, event }));

  divider.addEventListener("pointerdown", (event) => {
    divider.setPointerCapture(event.pointerId);
    event.preventDefault();
    divider.focus();
  });
  divider.addEventListener("pointermove", (event) => {
    if (!event.buttons || !divider.hasPointerCapture(event.pointerId)) return;
    const box = photo.getBoundingClientRect();
    change({ divider: Math.min(1, Math.max(0, (event.clientX - box.left) / box.width)) }, { later: true, event });
  });
  divider.addEventListener("keydown", (event) => {
    const far = { ArrowLeft: -0.02, ArrowDown: -0.02, ArrowRight: 0.02, ArrowUp: 0.02, PageDown: -0.1, PageUp: 0.1, Home: -1, End: 1 }[event.key];
    if (far === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    change({ divider: Math.min(1, Math.max(0, state.divider + far)) }, { later: true, event });
  });

  function more(key) {
    switch (key) {
      case ",": return { step: Math.max(0, state.step - 1) };
      case ".": return { step: Math.min(steps, state.step + 1) };
      case "[": return { divider: Math.max(0, state.divider - 0.05) };
      case "]": return { divider: Math.min(1, state.divider + 0.05) };
      default: return null;
    }
  }
  layHands(photo, view, { grid: () => READING, more });

  const { close } = view;
  return Object.assign(view, { show, close() { film.stop(); close(); } });
}

export const inGradio = gradioHost(mount);
export default { render: jupyterHost(mount) };
