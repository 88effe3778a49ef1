// Who mixes whom, read off a matrix: rows and columns as shares, for the eye and in numbers. No drawing here.
import { cellAt, mapOf, numbersOf } from "./grid.js";

export const PART_NAMES = ["attention", "values", "softmax", "layer"];
export const FLOOR = 1e-3; // shares below are drawn as nothing on the logarithmic scale

// Levels (bytes from Python) -> numbers as shares of the largest of the matrix.
export function normsOf(bytes) {
  return Float32Array.from(numbersOf(bytes, Uint16Array), (level) => (level / 65535) ** 2);
}

// One row of a matrix `q k`, what a query is made of, or, reversed, one column, where a key goes; as shares that sum
// to one, NaN where there is nothing.
export function sharesOf(norms, keys, cell, reverse) {
  const queries = norms.length / keys;
  const line = Float32Array.from({ length: reverse ? queries : keys }, (_, i) => norms[reverse ? i * keys + cell : cell * keys + i]);
  const sum = line.reduce((total, value) => total + value, 0);
  return line.map((value) => (sum > 0 ? value / sum : NaN));
}

// Shares for the eye: logarithmic from FLOOR to all of it; or linear up to the strongest place but its `own`, which
// would leave all others in the dark. `own` is a set of cells.
export function mixingMap(shares, grid, scale, own) {
  if (scale === "linear") return mapOf(shares, grid, { peak: ownAndBest(shares, own).most || 0 });
  const shown = shares.map((share) => (Number.isNaN(share) ? NaN : Math.max(0, 1 - Math.log10(Math.max(share, 1e-30)) / Math.log10(FLOOR))));
  return mapOf(shown, grid, { peak: 1 });
}

// The cell over a place [down, across] (shares of the photo), and the place at a cell's middle.
export const cellUnder = ([down, across], grid) => cellAt(across, down, grid);
export const middleOf = (cell, [h, w]) => [(Math.floor(cell / w) + 0.5) / h, ((cell % w) + 0.5) / w];

// What the large photo of a side shows: a part of its attention where that is chosen and there, else its block.
// null while it is on its way.
export function shownOf(layer, bodies, shown) {
  const part = PART_NAMES.indexOf(shown);
  if (part >= 0 && layer.parts) return { norms: bodies[part + 1], grid: layer.parts.grid, keyGrid: layer.parts.grid, part: shown };
  return bodies[0] && { norms: bodies[0], grid: layer.grid, keyGrid: layer.keyGrid, part: "block" };
}

// The cells of the grid `to` at the place of a cell on `from`: whose middles lie within it, or who hold its middle.
export function ownCells(cell, from, to) {
  const [rows, columns] = [Math.floor(cell / from[1]), cell % from[1]].map((at, axis) => {
    const [mine, theirs] = [from[axis], to[axis]];
    const within = (k) => Math.floor(((k + 0.5) * mine) / theirs) === at || Math.floor(((at + 0.5) * theirs) / mine) === k;
    return Array.from({ length: theirs }, (_, k) => k).filter(within);
  });
  return new Set(rows.flatMap((row) => columns.map((column) => row * to[1] + column)));
}

// The share of the asking cell's own place, and the strongest of all others (its cell, its share).
export function ownAndBest(shares, own) {
  let best = -1;
  shares.forEach((share, cell) => {
    if (!own.has(cell) && !Number.isNaN(share) && (best < 0 || share > shares[best])) best = cell;
  });
  return { own: [...own].reduce((sum, cell) => sum + shares[cell], 0), best, most: best < 0 ? NaN : shares[best] };
}
