// The arithmetic of two maps and their film. No drawing here.
import { cellAt, mapOf } from "./grid.js";

// A side's numbers as a map on its own scale, 0 in the middle where it is signed.
export const mapOfSide = ({ grid, low, peak }, values) => mapOf(values, grid, { low, peak });

// The number under a place [down, across] (shares of the photo).
export const valueUnder = (values, grid, [down, across]) => values[cellAt(across, down, grid)];

// Where a number lies on its scale, 0..1.
export const onScale = ({ low, peak }, value) => (peak > low ? Math.min(1, Math.max(0, (value - low) / (peak - low))) : 0);

// One picture of the film in RGBA: after `step` steps the pixels whose turn has come are those of `after`.
export function filmPicture(turn, step, before, after, pixels) {
  for (let pixel = 0; pixel < turn.length; pixel++) {
    const from = turn[pixel] < step ? after : before;
    const at = 4 * pixel;
    pixels[at] = from[at];
    pixels[at + 1] = from[at + 1];
    pixels[at + 2] = from[at + 2];
    pixels[at + 3] = 255;
  }
  return pixels;
}

// A picture of one colour, as RGBA.
export function plain([red, green, blue], count) {
  const pixels = new Uint8ClampedArray(4 * count);
  for (let at = 0; at < pixels.length; at += 4) pixels.set([red, green, blue, 255], at);
  return pixels;
}

// Points [x, y] as an SVG path.
export const lineThrough = (points) => points.map(([x, y], i) => `${i ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");
