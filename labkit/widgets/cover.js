// Cover a part of the photo and see what the model says then. All answers are here already: nothing is asked.
import { make } from "./dom.js";
import { makeFrame } from "./frame.js";
import { middle, numbersOf, percent, spot, within } from "./grid.js";
import { layHands } from "./hands.js";
import { gradioHost, jupyterHost } from "./hosts.js";
import { makeStage } from "./stage.js";

const COVER_PAGE = `<div class="lk-frame">
  <div class="lk-stage">
    <canvas class="lk-photo" tabindex="0" role="application" aria-roledescription="photo with a covered part"></canvas>
    <output class="lk-said" aria-live="polite"></output>
    <div class="lk-controls"><span>cover</span><div class="lk-sizes" role="group" aria-label="size of the cover"></div></div>
    <div class="lk-help"><span>move over the photo to cover · click or <kbd>Enter</kbd> holds · <kbd>Esc</kbd> frees</span>
      <span><kbd>←</kbd><kbd>→</kbd><kbd>↑</kbd><kbd>↓</kbd> move · <kbd>[</kbd><kbd>]</kbd> size</span></div>
  </div>
  <div class="lk-answer">
    <p class="lk-caption">what it says, and <i></i> what it says of the whole photo</p>
    <ol class="lk-bars"></ol></div></div>`;
const SHOWN_ANSWERS = 6;

// The likeliest classes of one row of answers, best first: [class, probability].
export function likeliest(answers, row, classes, most) {
  const order = Array.from({ length: classes }, (_, c) => [c, answers[row * classes + c]]);
  return order.sort((a, b) => b[1] - a[1]).slice(0, most);
}

export function mount(el, host) {
  const resting = { query: 0, pinned: false, size: 1 };
  const view = makeFrame(el, { name: "cover", page: COVER_PAGE, host, resting, settle, draw, resize });
  const { state, find, change, schedule } = view;
  const photo = find(".lk-photo");
  const stage = makeStage(photo);
  stage.blend = 0; // the photo keeps its colours
  let head = null;
  let answers = [];

  function show(newHead, bodies, newState = {}) {
    head = newHead;
    answers = bodies.map((bytes) => numbersOf(bytes));
    settle(newState, state);
    find(".lk-sizes").replaceChildren(...head.windows.map(([rows, columns], size) => {
      const button = make("button", "", `${rows} × ${columns}`);
      button.type = "button";
      button.addEventListener("click", (event) => change({ size }, { event }));
      return button;
    }));
    photo.setAttribute("aria-label", `${head.model}: the photo; arrow keys move what is covered`);
    stage.load(head.picture, () => {
      view.ready = true;
      resize();
      schedule();
    });
  }

  function settle(to, state) {
    const cells = head.grid[0] * head.grid[1];
    state.query = within(to.query ?? state.query, 0, cells - 1, middle(head.grid));
    state.size = within(to.size ?? state.size, 0, head.windows.length - 1, 0);
    state.pinned = to.pinned ?? state.pinned;
  }

  // The covered box as shares of the photo: top, left, bottom, right.
  function box() {
    const [h, w] = head.grid;
    const around = (cell, cells, side, length) =>
      [0, side].map((end) => Math.min(1, Math.max(0, Math.round(((cell + 0.5) * length) / cells - side / 2) + end) / length));
    const [rows, columns] = head.windows[state.size];
    const [top, bottom] = around(Math.floor(state.query / w), h, rows, head.side[0]);
    const [left, right] = around(state.query % w, w, columns, head.side[1]);
    return [top, left, bottom, right];
  }

  function draw() {
    stage.clear();
    stage.fill(box(), head.colour);
    stage.frame(box(), { thick: state.pinned ? 2.5 : 1.5 });
    const best = likeliest(answers[state.size], state.query, head.names.length, SHOWN_ANSWERS);
    find(".lk-bars").replaceChildren(...best.map(([c, chance]) => bar(head.names[c], chance, head.whole[c])));
    const [c, chance] = best[0];
    const before = head.whole.indexOf(Math.max(...head.whole));
    const change = c === before ? `still ${head.names[c]}` : `no longer ${head.names[before]}, but ${head.names[c]}`;
    find(".lk-said").textContent = `${spot(state.query, head.grid)} covered${state.pinned ? " (held)" : ""}: ${change} (${percent(chance)})`;
    for (const [size, button] of [...find(".lk-sizes").children].entries()) button.setAttribute("aria-pressed", String(size === state.size));
  }

  function bar(name, chance, whole) {
    const item = make("li", "");
    const length = make("i", "lk-length");
    const tick = make("i", "lk-tick");
    length.style.width = `${100 * chance}%`;
    tick.style.left = `${100 * whole}%`;
    item.append(make("span", "", name), make("b", "", percent(chance)), length, tick);
    return item;
  }

  function resize() {
    if (head) stage.resize();
  }

  layHands(photo, view, {
    grid: () => head.grid,
    more: (key) => (key === "[" ? { size: state.size - 1 } : key === "]" ? { size: state.size + 1 } : null),
  });
  return Object.assign(view, { show });
}

export const inGradio = gradioHost(mount);
export default { render: jupyterHost(mount) };
