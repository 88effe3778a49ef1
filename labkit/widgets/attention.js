// The live view of attention: a photo to hover over, and the wall of layers and heads. One module for JupyterLab and Gradio.
import { make } from "./dom.js";
import { makeFrame } from "./frame.js";
import { bytesOf, middle, percent, sameSpot, within } from "./grid.js";
import { layHands } from "./hands.js";
import { makeStage, paintScale } from "./stage.js";
import { lookedAtBy, looksAt, openLayer, PADDING } from "./attention_maps.js";
import { makeWall } from "./attention_wall.js";
import { lineOf, tokenName } from "./attention_words.js";

const PAGE = `<div class="lk-frame">
  <div class="lk-stage">
    <canvas class="lk-photo" tabindex="0" role="application" aria-roledescription="photo with attention"></canvas>
    <div class="lk-scale" aria-hidden="true"><span>0</span><canvas></canvas><span class="lk-peak"></span>
      <span class="lk-unit">share of attention</span></div>
    <output class="lk-said" aria-live="polite"></output>
    <div class="lk-controls">
      <div class="lk-choice" role="group" aria-label="direction">
        <button type="button" data-reverse="0">looks at</button><button type="button" data-reverse="1">looked at by</button></div>
      <div class="lk-tokens" role="group" aria-label="tokens that are no place in the photo"></div>
      <label class="lk-blend"><span>photo</span><input type="range" min="0" max="1" step="0.05"
        aria-label="blend, from photo to attention"><span>attention</span></label>
      <label class="lk-smooth"><input type="checkbox"><span>smooth</span></label>
    </div>
    <div class="lk-help"><span>hover or drag to ask · click or <kbd>Enter</kbd> pins · <kbd>Esc</kbd> frees</span>
      <span><kbd>←</kbd><kbd>→</kbd><kbd>↑</kbd><kbd>↓</kbd> cell · <kbd>[</kbd><kbd>]</kbd> head · <kbd>,</kbd><kbd>.</kbd> layer ·
      <span class="lk-c"><kbd>c</kbd> class token · </span><kbd>r</kbd> reverse</span></div>
  </div>
  <div class="lk-wall">
    <div class="lk-legend"></div>
    <div class="lk-tiles" role="grid" aria-label="layers and heads"></div>
    <div class="lk-tip" hidden></div>
  </div></div>`;

const RESTING = { layer: 0, head: -1, query: 0, pinned: false, reverse: false, bands: [0.06, 0.12] };

// Build the view in `el`. `host.tell(state)` is called when the visitor changed something, `host.want(layer)` when the bytes
// of a layer are missing. With `bare` there is the photo alone.
export function mount(el, host, { bare = false } = {}) {
  const view = makeFrame(el, { name: "attention", page: PAGE, host, resting: RESTING, settle, draw, resize });
  const { root, state, find, change, schedule } = view;
  root.classList.toggle("lk-bare", bare);
  const photo = find(".lk-photo");
  const stage = makeStage(photo);
  const wall = makeWall(find(".lk-wall"), (layer, head, event) => change({ layer, head }, { event }));
  let head = null;
  let layers = [];
  let asked = new Set(); // the layers on their way
  let colours = null;

  const info = () => head.layers[state.layer];
  const shown = (layer, h) => {
    if (!layers[layer]) return null;
    const { grid, keyGrid } = layers[layer];
    const place = sameSpot(state.query, info().grid, state.reverse ? keyGrid : grid);
    return state.reverse ? lookedAtBy(layers[layer], h, place) : looksAt(layers[layer], h, place);
  };

  // ---- what is shown, and how it changes

  function show(newHead, bodies, newState = {}) {
    head = newHead;
    layers = bodies.map((bytes, i) => (bytes ? openLayer(head.layers[i], bytes) : null));
    asked = new Set();
    colours = bytesOf(head.colours);
    settle(newState, state);
    wall.build(head, state.bands);
    buildTokens();
    paintScale(find(".lk-scale canvas"), colours);
    photo.setAttribute("aria-label", `${head.model}: attention over the photo; arrow keys move the query`);
    stage.load(head.picture, () => {
      view.ready = true;
      resize();
      schedule();
    });
    schedule();
  }

  function settle(to, state) {
    const before = head.layers[Math.min(state.layer, head.layers.length - 1)].grid;
    state.layer = within(to.layer ?? state.layer, 0, head.layers.length - 1, 0);
    const { heads, grid } = info();
    state.head = within(to.head ?? state.head, -1, heads - 1, -1);
    const query = to.query ?? sameSpot(state.query, before, grid);
    state.query = within(query, PADDING + 1, grid[0] * grid[1] - 1, middle(grid));
    const bands = String(state.bands);
    for (const name of ["pinned", "reverse", "bands"]) state[name] = to[name] ?? state[name];
    if (bands !== String(state.bands)) wall.build(head, state.bands);
  }

  function receive(layer, bytes) {
    layers[layer] = openLayer(head.layers[layer], bytes);
    schedule();
  }

  function draw() {
    if (!layers[state.layer] && !asked.has(state.layer)) {
      asked.add(state.layer);
      host.want(state.layer);
    }
    const map = shown(state.layer, state.head);
    const asking = state.reverse ? info().keyGrid : info().grid;
    stage.draw(map, sameSpot(state.query, info().grid, asking), asking, { colours, pinned: state.pinned });
    root.dataset.grid = info().grid.join(" ");
    if (bare) return;
    wall.draw(state, shown, colours);
    markButtons();
    find(".lk-peak").textContent = map ? percent(map.peak) : "";
    find(".lk-said").textContent = lineOf(info(), state, map, Boolean(layers[state.layer]));
  }

  function resize() {
    if (!head) return;
    stage.resize();
    wall.resize();
  }

  // ---- buttons

  function buildTokens() {
    const tokens = [...new Set(head.layers.flatMap(({ asking, prefix }) => [...asking, ...prefix]))].filter((token) => token !== PADDING);
    find(".lk-tokens").replaceChildren(...tokens.sort((a, b) => b - a).map((token) => {
      const button = make("button", "", tokenName(token));
      button.type = "button";
      button.dataset.token = token;
      button.addEventListener("click", (event) => change({ query: token, pinned: true }, { event }));
      return button;
    }));
  }

  function markButtons() {
    for (const button of find(".lk-tokens").children) {
      const token = Number(button.dataset.token);
      button.setAttribute("aria-pressed", String(state.query === token));
      button.disabled = !(state.reverse ? info().prefix : info().asking).includes(token);
    }
    for (const button of root.querySelectorAll("[data-reverse]"))
      button.setAttribute("aria-pressed", String((button.dataset.reverse === "1") === state.reverse));
  }

  for (const button of root.querySelectorAll("[data-reverse]"))
    button.addEventListener("click", (event) => change({ reverse: button.dataset.reverse === "1" }, { event }));
  const slider = find(".lk-blend input");
  slider.value = String(stage.blend);
  slider.addEventListener("input", () => {
    stage.blend = Number(slider.value);
    resize();
    schedule();
  });
  find(".lk-smooth input").addEventListener("change", (event) => {
    stage.smooth = event.target.checked;
    schedule();
  });

  // ---- keys that only this view knows

  function more(key) {
    const { grid, heads, asking, prefix } = info();
    const around = (value, low, high) => (value < low ? high : value > high ? low : value);
    switch (key) {
      case "[": return { head: around(state.head - 1, -1, heads - 1) };
      case "]": return { head: around(state.head + 1, -1, heads - 1) };
      case ",": return { layer: around(state.layer - 1, 0, head.layers.length - 1) };
      case ".": return { layer: around(state.layer + 1, 0, head.layers.length - 1) };
      case "r": return { reverse: !state.reverse };
      case "c": return { query: state.query < 0 || !(state.reverse ? prefix : asking).includes(-1) ? middle(grid) : -1 };
      default: return null;
    }
  }
  layHands(photo, view, { grid: () => info().grid, more });

  return Object.assign(view, { show, receive });
}

// ---- JupyterLab: traits of labkit.widgets.attention.AttentionView

const TRAITS = ["layer", "head", "query", "pinned", "reverse"];

function inJupyter({ model, el }) {
  const traits = () => ({ ...Object.fromEntries(TRAITS.map((name) => [name, model.get(name)])), bands: [...model.get("bands")] });
  let telling = false; // our own words come back one by one, half old and half new
  const view = mount(el, {
    tell(state) {
      telling = true;
      for (const name of TRAITS) model.set(name, state[name]);
      telling = false;
      model.save_changes();
    },
    want: (layer) => model.send({ want: layer }),
  });
  const show = () => {
    const { head, layers } = model.get("packed");
    if (!head) return;
    view.show(head, layers, traits());
    view.busy(false);
  };
  const receive = (message, buffers) => "layer" in message && view.receive(message.layer, buffers[0]);
  const events = [["change:packed", show], ["msg:custom", receive]];
  for (const name of [...TRAITS, "bands"]) events.push([`change:${name}`, () => telling || view.follow(traits())]);
  for (const [name, handler] of events) model.on(name, handler);
  show();
  return () => {
    for (const [name, handler] of events) model.off(name, handler);
    view.close();
  };
}

// ---- Gradio: the value of labkit.widgets.attention.gradio_view()

export function inGradio({ element, props, watch, server, host }) {
  let view = null;
  const want = async (layer) => {
    const { token } = props.value;
    const body = await server.layer_bytes({ token, layer });
    if (token === props.value.token) view.receive(layer, bytesOf(body)); // else another picture came in between
  };
  const show = () => {
    if (!props.value?.head) return;
    view ??= mount(element.querySelector(".lk-host"), { ...host, want });
    view.show(props.value.head, props.value.layers.map((body) => body && bytesOf(body)), props.value.state);
    view.busy(false);
  };
  show();
  watch("value", show);
}

export default { render: inJupyter };
