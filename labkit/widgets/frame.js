// What every view is made of: a root with its page, a state that the visitor changes, one draw a frame, and a busy sign.
import { make } from "./dom.js";

const SETTLE_MS = 150;

// name      the view's class is lk-name, its style sheet name.css
// page      its inner HTML
// host      { tell(state): the visitor has chosen; ask(what): Python is to compute something }
// resting   the state before anything is shown
// settle    (to, state): brings what comes from outside (a trait, a link, another model) into range, in `state`
// draw      paints the state; called once a frame, and only when `view.ready`
// resize    called when the room for the view changes
export function makeFrame(el, { name, page, host, resting, settle, draw, resize = () => {} }) {
  const root = make("div", `lk-view lk-${name}`);
  root.dataset.lmSuppressShortcuts = "true"; // else JupyterLab takes the arrow keys for its cells
  root.innerHTML = page;
  el.replaceChildren(root);
  const state = { ...resting };
  const timing = { asked: 0, drawn: 0, cost: 0 };
  let frame = 0;
  let settling = 0;

  function schedule() {
    if (!frame) frame = requestAnimationFrame(paint);
  }

  function paint() {
    frame = 0;
    if (!view.ready) return;
    const start = performance.now();
    draw();
    for (const [key, value] of Object.entries(state)) root.dataset[key] = value;
    timing.drawn = performance.now();
    timing.cost = timing.drawn - start;
  }

  // From outside: no word goes back.
  function follow(to) {
    if (!view.ready) return;
    settle(to, state);
    schedule();
  }

  // By the visitor: the host hears of it, at once or when the hand rests.
  function change(to, { later = false, event = null } = {}) {
    if (!view.ready) return;
    timing.asked = event?.timeStamp ?? performance.now();
    follow(to);
    clearTimeout(settling);
    if (later) settling = setTimeout(() => host.tell({ ...state }), SETTLE_MS);
    else host.tell({ ...state });
  }

  // Python is to compute: busy from now until the answer is shown.
  function ask(what) {
    busy(true);
    host.ask(what);
  }

  function busy(on) {
    root.setAttribute("aria-busy", String(on));
  }

  const watcher = new ResizeObserver(() => {
    resize();
    schedule();
  });
  watcher.observe(root);

  function close() {
    watcher.disconnect();
    cancelAnimationFrame(frame);
    clearTimeout(settling);
    el.replaceChildren();
  }

  const find = (selector) => root.querySelector(selector);
  const view = { root, state, timing, ready: false, find, schedule, follow, change, choose: (to) => change(to), ask, busy, close };
  el.view = view;
  return view;
}
