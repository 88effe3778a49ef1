// What the view of explanations says in words.
import { percent, spot } from "./grid.js";

// A number with three digits and a true minus; very small ones as powers of ten.
export function digits(value) {
  if (!Number.isFinite(value)) return "–";
  if (value === 0) return "0";
  const size = Math.abs(value);
  const text = size < 1e-3 || size >= 1e4 ? value.toExponential(1).replace("e", " · 10^") : String(Number(value.toPrecision(3)));
  return text.replaceAll("-", "−").replace("+", "");
}

// "row 3, column 4: GradCAM 0.02 (score of the class); RISE 0.31 ± 0.01 (probability)."
export function valuesLine(cell, grid, sides) {
  const told = sides.map(({ title, unit, value, error }) => `${title} ${digits(value)}${error === null ? "" : ` ± ${digits(error)}`} (${unit})`);
  return `${spot(cell, grid)}: ${told.join("; ")}.`;
}

// How far RISE has come, and how sure it is.
export function riseLine({ masks, trail }) {
  const noise = trail.length ? trail.at(-1)[1] : null;
  const sure = noise === null ? "" : `; standard error at most ${percent(noise)} of the map's range`;
  return `${masks[0]} of ${masks[1]} masks${sure}`;
}

export const better = (way) => (way === "deletion" ? "lower is better" : "higher is better");

export const changedWords = (way, share) => (way === "deletion" ? `${percent(share)} of the pixels are gone` : `${percent(share)} of the pixels are back`);
