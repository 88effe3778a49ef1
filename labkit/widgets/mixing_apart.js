// The exhibit: one attention layer of each model taken apart, four small maps of the same place and one bar.
import { make } from "./dom.js";
import { percent } from "./grid.js";
import { cellUnder, mixingMap, PART_NAMES, sharesOf } from "./mixing_maps.js";
import { noParts, PART_TITLES, partsLine } from "./mixing_words.js";
import { ASKING, makeStage } from "./stage.js";

// `pick(part, event)` is called when the visitor chooses a map.
export function makeApart(place, pick) {
  const panels = [0, 1].map((side) => {
    const panel = make("section", "lk-panel");
    const maps = make("div", "lk-parts");
    const tiles = PART_NAMES.map((part) => {
      const button = make("button", "lk-part");
      const canvas = make("canvas", "");
      button.type = "button";
      button.dataset.part = part;
      button.append(canvas, make("span", "", PART_TITLES[part]));
      button.addEventListener("click", (event) => pick(part, event));
      maps.append(button);
      return { part, button, stage: makeStage(canvas) };
    });
    const title = make("h3", "");
    const bar = make("div", "lk-bar");
    const line = make("p", "lk-parts-said");
    bar.append(make("i", "lk-by-values"), make("i", "lk-by-softmax"));
    panel.dataset.of = side;
    panel.append(title, maps, bar, line);
    place.append(panel);
    return { panel, title, maps, tiles, bar, line, picture: "" };
  });

  function load(models, done) {
    panels.forEach((panel, side) => {
      const { title, picture } = models[side];
      panel.title.textContent = title;
      if (panel.picture !== picture) for (const { stage } of panel.tiles) stage.load(picture, done);
      panel.picture = picture;
    });
  }

  function resize() {
    for (const { tiles } of panels) for (const { stage } of tiles) stage.resize();
  }

  // `sides` are { model, layer, bodies }; `state` the view's.
  function draw(sides, state, colours) {
    panels.forEach(({ maps, tiles, bar, line, title }, side) => {
      const { model, layer, bodies } = sides[side];
      const { parts } = layer;
      maps.hidden = bar.hidden = !parts;
      title.textContent = parts ? `${model.title}, ${parts.layer}` : model.title;
      line.textContent = parts ? partsLine(parts) : noParts(model, layer);
      if (!parts) return;
      const cell = cellUnder(state.place, parts.grid);
      tiles.forEach(({ part, button, stage }, i) => {
        button.setAttribute("aria-pressed", String(state.shown === part));
        if (!stage.ready) return;
        const shares = sharesOf(bodies[i + 1], parts.grid[0] * parts.grid[1], cell, state.reverse);
        stage.clear();
        stage.lay(mixingMap(shares, parts.grid, state.scale, new Set([cell])), colours);
        stage.outline(cell, parts.grid, { colour: ASKING, thick: 1.5 });
      });
      const [values, softmax] = bar.children;
      values.style.flexGrow = String(1 - parts.softmax);
      softmax.style.flexGrow = String(parts.softmax);
      values.textContent = `values ${percent(1 - parts.softmax)}`;
      softmax.textContent = `softmax ${percent(parts.softmax)}`;
    });
  }

  return { load, resize, draw };
}
