// What the view of mixing says, in words and numbers.
import { percent, spot } from "./grid.js";

export const PART_TITLES = { attention: "attention map", values: "through the values", softmax: "through the softmax", layer: "both: the Jacobian" };

const digits = (value, n = 2) => (value === null || value === undefined ? "–" : value.toFixed(n));

// [name, value, what it means] of a block's numbers.
export function numbersOfBlock(layer) {
  if (!layer.grid) return [["NMI", "…", "on its way"]];
  return [
    ["NMI", `${digits(layer.nmi)}${layer.pattern ? `, ${layer.pattern}` : ""}`, "normalised mutual information of query and key: 0 = all queries alike, 1 = each its own"],
    ["reach", digits(layer.reach), "mean distance to what a place is made of, of that of an even look: 0 = itself, 1 = everywhere"],
    ["its own place", layer.own === null ? "–" : percent(layer.own), "the share of a row that lies at the query's own place, mean of all rows"],
  ];
}

// What is measured: "y − x", "y", on which cells.
export function measured(layer) {
  if (!layer.grid) return "on its way";
  const what = layer.skip ? "the whole block, y" : "what it adds, y − x";
  const [h, w] = layer.grid;
  const coarse = layer.tokens[0] > h || layer.tokens[1] > w ? `; ${layer.tokens.join(" × ")} tokens seen as ${h} × ${w} cells` : "";
  return `${what}${coarse}`;
}

// The line under the photos: for each side { title, name, cell, grid, own, best, most, to } or null while on its way.
export function mixingLine(sides, reverse) {
  return sides.map((one) => {
    if (!one.found) return `${one.title}, ${one.name}: on its way.`;
    const { cell, grid, to, own, best, most } = one.found;
    const asks = `${one.title}, ${one.name}${one.part === "block" ? "" : ` (${PART_TITLES[one.part]})`}: ${spot(cell, grid)}`;
    if (Number.isNaN(own) || best < 0) return `${asks} ${reverse ? "goes nowhere" : "is made of nothing"} here.`;
    const rest = most < 0.0005 ? "nothing" : "most of the rest";
    const where = most < 0.0005 ? "anywhere else" : `${spot(best, to)} (${percent(most)})`;
    return reverse
      ? `${asks} gives ${percent(own)} to its own place; ${rest} to ${where}.`
      : `${asks} is made of itself by ${percent(own)}; ${rest} comes from ${where}.`;
  }).join(" ");
}

// How large the softmax part is, in a sentence.
export function partsLine({ layer, softmax, own }) {
  const larger = softmax > 0.5 ? "the larger one" : "the smaller one";
  return `In ${layer} the path through the softmax is ${larger} of the two: ${percent(softmax)} of the two norms’ sum. `
    + `A token’s own place has ${percent(own.values)} of a row through the values, ${percent(own.softmax)} through the softmax.`;
}

// Why there is nothing to take apart.
export function noParts(model, layer) {
  if (layer.attention) return `${layer.attention} is on its way.`;
  return model.layers.some((one) => one.attention)
    ? `${layer.name} has no attention layer on the whole picture to take apart.`
    : `${model.title} has no attention layer on the whole picture to take apart; the large map is all of its mixing.`;
}
