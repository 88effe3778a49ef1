// Cells on a grid, numbers over it, and the colours that show them. No drawing here.

export function bytesOf(base64) {
  return Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
}

// Bytes from Python (a view on any buffer) as numbers of `Type`.
export function numbersOf(bytes, Type = Float32Array) {
  return new Type(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
}

// The cell under a point that is given as shares of the width and height.
export function cellAt(x, y, [h, w]) {
  const inside = (value, size) => Math.min(size - 1, Math.max(0, Math.floor(value * size)));
  return inside(y, h) * w + inside(x, w);
}

// The cell of another grid that holds the centre of this one; prefix tokens stay what they are.
export function sameSpot(cell, from, to) {
  if (cell < 0) return cell;
  return cellAt(((cell % from[1]) + 0.5) / from[1], (Math.floor(cell / from[1]) + 0.5) / from[0], to);
}

export const middle = ([h, w]) => Math.floor(h / 2) * w + Math.floor(w / 2);

export const spot = (cell, [, w]) => `row ${Math.floor(cell / w)}, column ${cell % w}`;

// One step on the grid, stopping at its edges. Moves: up, down, left, right, first and last of the row.
export function step(cell, move, [h, w]) {
  const [row, column] = [Math.floor(cell / w), cell % w];
  switch (move) {
    case "up": return row > 0 ? cell - w : cell;
    case "down": return row < h - 1 ? cell + w : cell;
    case "left": return column > 0 ? cell - 1 : cell;
    case "right": return column < w - 1 ? cell + 1 : cell;
    case "first": return row * w;
    case "last": return row * w + w - 1;
    default: return cell;
  }
}

// `value` if it is a whole number from low to high, else `other`.
export const within = (value, low, high, other) => (Number.isInteger(value) && value >= low && value <= high ? value : other);

// null where a value is not defined.
export function mean(values) {
  return values.includes(null) ? null : values.reduce((sum, value) => sum + value, 0) / values.length;
}

// A share in percent with two digits, as on the figures: 11 %, 0.45 %.
export function percent(share) {
  const value = 100 * share;
  return value >= 99.5 || value < 0.005 ? `${value.toFixed(0)} %` : `${Number(value.toPrecision(2))} %`;
}

// A map is { grid: [h, w], shares: numbers (NaN where there is nothing to show), peak, low = 0, best = -1 }.
// `mapOf` finds peak and best; pass `low` and `peak` for a scale of your own, low = -peak for signed numbers.
export function mapOf(shares, grid, { low = 0, peak = null } = {}) {
  let best = -1;
  shares.forEach((share, cell) => {
    if (!Number.isNaN(share) && (best < 0 || share > shares[best])) best = cell;
  });
  return { grid, shares, low, best, peak: peak ?? (best < 0 ? 0 : shares[best]) };
}

// A map -> RGBA, one pixel a cell, from a table of 256 colours; cells without a number stay clear.
export function paint({ shares, peak, low = 0 }, colours, pixels) {
  const scale = peak > low ? 255 / (peak - low) : 0;
  for (let cell = 0; cell < shares.length; cell++) {
    const share = shares[cell];
    const seen = !Number.isNaN(share);
    const level = Math.round((seen ? share - low : 0) * scale);
    const at = 3 * Math.min(255, Math.max(0, level));
    pixels[4 * cell] = colours[at];
    pixels[4 * cell + 1] = colours[at + 1];
    pixels[4 * cell + 2] = colours[at + 2];
    pixels[4 * cell + 3] = seen ? 255 : 0;
  }
  return pixels;
}
