// Heat as it travels, read back; places, units and boxes in pixels. No drawing here.
import { cellAt, mapOf, numbersOf } from "./grid.js";

export const DECADES = 8; // a level of 65535 is the largest heat, 1 is 10^-8 of it, 0 is none
export const SHOWN_DECADES = 4; // what the logarithmic colours show

// Levels (bytes from Python) -> the heat as shares of its largest, 0 where there is none.
export function heatOf(bytes) {
  return Float32Array.from(numbersOf(bytes, Uint16Array), (level) => (level ? 10 ** (DECADES * ((level - 1) / 65534 - 1)) : 0));
}

// Heat for the eye: on `scale` "linear" or "log", clear outside `box` (pixels that the unit cannot see).
export function heatMap(heat, [h, w], [top, left, bottom, right], scale) {
  const shown = new Float32Array(h * w).fill(NaN);
  for (let row = Math.max(0, top); row < Math.min(h, bottom); row++)
    for (let column = Math.max(0, left); column < Math.min(w, right); column++) {
      const value = heat[row * w + column];
      shown[row * w + column] = scale === "log" ? Math.max(0, 1 + Math.log10(value || 1e-30) / SHOWN_DECADES) : value;
    }
  return mapOf(shown, [h, w], { peak: 1 });
}

// The cell of a grid over a place [down, across] (shares of the photo), and the place at a cell's middle.
export const cellOver = ([down, across], grid) => cellAt(across, down, grid);
export const placeAt = (cell, [h, w]) => [(Math.floor(cell / w) + 0.5) / h, ((cell % w) + 0.5) / w];

// A unit's theoretical square [top, left, bottom, right] in pixels; null where squares do not slide or have no size.
export function squareOf({ grid, theory, jump, start }, cell) {
  if (!theory || !start) return null;
  const [top, left] = [Math.floor(cell / grid[1]), cell % grid[1]].map((unit, axis) => Math.round(start[axis] + unit * jump[axis]));
  return [top, left, top + theory[0], left + theory[1]];
}

// The square of this side around a pixel.
export const around = ([row, column], side) => {
  const reach = (side - 1) / 2;
  return [row - reach, column - reach, row + reach + 1, column + reach + 1];
};

// Pixels as shares of the photo.
export const shareOf = ([top, left, bottom, right], [h, w]) => [top / h, left / w, bottom / h, right / w];

// How far a layer sees, in sides of the picture: at most (null: everything, or further than the picture shows), and in effect.
export function extents(layer, [h, w], part) {
  const side = Math.max(h, w);
  return {
    most: layer.theory ? Math.max(...layer.theory) / side : null,
    effect: layer.sides && layer.sides[part] !== null ? layer.sides[part] / side : null,
  };
}
