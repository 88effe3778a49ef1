// What the filters of a layer let through: a small plane of frequencies each, and their gains over rings.
import { make } from "./dom.js";
import { paintCells } from "./stage.js";
import { gainChart } from "./frequency_charts.js";
import { gainsOf, gainWords, kindOf } from "./frequency_words.js";

const NAMES = { attention: ["head", "heads"], convolution: ["kernel", "kernels"] };

// `pick(head, event)` is called when the visitor chooses a filter: its number among all that the layer shows.
export function makeTiles(place, pick) {
  let head = null;
  let planes = []; // one a filter bank: its planes of levels, and its gains over rings
  let stands = ""; // which tiles stand here, and
  let marked = ""; // which of them is chosen
  let banks = [];

  function build(newHead, levels, radials, colours) {
    head = newHead;
    let [at, ring] = [0, 0];
    planes = head.filters.map(({ grid: [h, w], rings, shown }) => ({
      colours,
      levels: shown.map(() => levels.subarray(at, (at += h * w))),
      rings: shown.map(() => radials.subarray(ring, (ring += rings))),
    }));
    stands = marked = "";
  }

  const banksOf = (layer) => head.filters.map((one, i) => ({ ...one, ...planes[i] })).filter((one) => one.layer === layer);
  const count = (layer) => banksOf(layer).reduce((sum, one) => sum + one.shown.length, 0);

  function draw({ layer, head: chosen }) {
    const wanted = `${layer} ${place.clientWidth}`;
    if (stands !== wanted) {
      stands = wanted;
      marked = "";
      banks = banksOf(layer);
      let first = 0;
      place.replaceChildren(...banks.map((bank) => {
        const made = bankOf(bank, first);
        bank.first = first;
        first += bank.shown.length;
        return made;
      }));
      if (!banks.length) place.append(make("p", "lk-note", "This block has no kernel wider than a cell, and no attention that can be read."));
    }
    if (marked === `${chosen}`) return;
    marked = `${chosen}`;
    for (const tile of place.querySelectorAll(".lk-plane-tile")) tile.setAttribute("aria-pressed", String(Number(tile.dataset.head) === chosen));
    place.querySelectorAll(".lk-gains").forEach((drawing, i) => {
      const bank = banks[i];
      const mine = chosen - bank.first;
      const inBank = mine >= 0 && mine < bank.shown.length;
      drawing.innerHTML = gainChart({
        rings: bank.rings, longer: Math.max(...bank.grid), chosen: inBank ? mine : -1, wide: Math.max(190, drawing.clientWidth), tall: 170,
        label: `gain of ${bank.shown.length} ${NAMES[bank.kind][1]} of ${bank.name} over frequency`,
      });
      const words = drawing.parentElement.querySelector(".lk-chosen-words");
      words.textContent = inBank ? `${NAMES[bank.kind][0]} ${bank.shown[mine]}: ${gainWords(gainsOf(bank.levels[mine], bank.grid, bank.peaks[mine]))}; it ${kindOf(gainsOf(bank.levels[mine], bank.grid, bank.peaks[mine]))}.` : "";
    });
  }

  function bankOf(bank, first) {
    const section = make("section", "lk-bank");
    const [one, many] = NAMES[bank.kind];
    const some = bank.shown.length < bank.of ? `${bank.shown.length} of ${bank.of} ${many}` : `${bank.of} ${bank.of === 1 ? one : many}`;
    const title = make("h3", "", bank.name);
    title.append(make("span", "", `${some}${bank.inside ? "" : ", beside the blocks"}`));
    const tiles = make("div", "lk-plane-tiles");
    tiles.append(...bank.shown.map((number, i) => {
      const tile = make("button", "lk-plane-tile");
      tile.type = "button";
      tile.dataset.head = first + i;
      const gains = gainsOf(bank.levels[i], bank.grid, bank.peaks[i]);
      tile.setAttribute("aria-label", `${one} ${number}: ${gainWords(gains)}`);
      tile.title = `${one} ${number}: ${gainWords(gains)}`;
      const canvas = document.createElement("canvas");
      paintCells(canvas, { grid: bank.grid, shares: bank.levels[i], peak: 255 }, bank.colours);
      tile.append(canvas, make("span", "", String(number)));
      tile.addEventListener("click", (event) => pick(tile.getAttribute("aria-pressed") === "true" ? -1 : first + i, event));
      return tile;
    }));
    const side = make("div", "lk-bank-side");
    side.append(make("div", "lk-gains"), make("p", "lk-chosen-words"));
    const row = make("div", "lk-bank-row");
    row.append(tiles, side);
    section.append(title, row);
    return section;
  }

  return { build, draw, count };
}
