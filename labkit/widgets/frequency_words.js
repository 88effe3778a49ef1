// Bands, curves and what is said of them. Numbers and words only, no drawing.

export const CORNER = 0.7072; // cycles per pixel: just beyond the checkerboard
const GAP = 0.002; // the least width of a band
const PRESETS_AT = 0.1;

const inside = (value, low, high) => Math.min(high, Math.max(low, value));
const fourDigits = (value) => Math.round(value * 1e4) / 1e4;

// What the visitor (or a link) asks for, as a band: 0 <= low < high <= CORNER; who was moved pushes no one.
export function bandOf({ low, high }, before) {
  const movesLow = low !== before.low;
  if (movesLow) low = inside(low, 0, high - GAP);
  return { low: fourDigits(inside(low, 0, CORNER - GAP)), high: fourDigits(inside(high, low + GAP, CORNER)) };
}

export const PRESETS = {
  everything: { low: 0, high: CORNER },
  coarse: { low: 0, high: PRESETS_AT },
  fine: { low: PRESETS_AT, high: CORNER },
};

// The name of the ring, "low" or "high", that is nearer to a frequency; between two equal ones the one it can move.
export function nearerRing(f, { low, high }) {
  return Math.abs(f - low) < Math.abs(f - high) ? "low" : "high";
}

// 0.05 -> "0.05 cycles per pixel (10 % of Nyquist, waves of 20 pixels)"
export function frequencyWords(f) {
  if (f <= 0) return "0 (nothing is cut below)";
  if (f >= CORNER - 1e-3) return "0.71 (nothing is cut above)";
  return `${f.toFixed(3)} cycles per pixel (${Math.round(200 * f)} % of Nyquist, waves of ${waveWords(1 / f)} pixels)`;
}

const waveWords = (length) => (length < 10 ? length.toFixed(1) : String(Math.round(length)));

// The line under the pictures.
export function bandWords({ low, high, mean }, kept) {
  const short = (f) => f.toFixed(3).replace(/0$/, "");
  const range = low <= 0 && high >= CORNER - 1e-3 ? "everything passes"
    : low <= 0 ? `what is coarser than ${short(high)} cycles per pixel passes`
    : high >= CORNER - 1e-3 ? `what is finer than ${short(low)} cycles per pixel passes`
    : `${short(low)} to ${short(high)} cycles per pixel passes`;
  const share = kept >= 0.995 || kept < 0.0005 ? (100 * kept).toFixed(0) : (100 * kept).toPrecision(2);
  return `${range[0].toUpperCase()}${range.slice(1)} · ${Number(share)} % of the variance · the mean ${mean ? "passes" : "is lost"}`;
}

// Numbers one after the other -> one array a layer; `rings` says how many each has.
export function cutUp(values, rings) {
  let at = 0;
  return rings.map((count) => values.subarray(at, (at += count)));
}

// The layer whose curve is nearest to a point; curves are values at k / `longer` cycles per cell. -1 where none reaches so far.
export function nearestCurve(curves, f, value) {
  let best = -1;
  let least = Infinity;
  curves.forEach(({ values, longer }, i) => {
    const at = f * longer;
    const k = Math.min(Math.floor(at), values.length - 2);
    if (k < 0 || at > values.length - 0.5) return;
    const here = values[k] + (values[k + 1] - values[k]) * Math.min(1, at - k);
    if (Math.abs(here - value) < least) [best, least] = [i, Math.abs(here - value)];
  });
  return best;
}

// The gain in the middle of a plane (the mean) and at Nyquist along both axes, from levels: 255 is `peak`, 0 a hundredth of it or less.
export function gainsOf(levels, [h, w], peak) {
  const at = (row, column) => peak * 10 ** (2 * (levels[row * w + column] / 255 - 1));
  const [middle, centre] = [Math.floor(h / 2), Math.floor(w / 2)];
  return { mean: at(middle, centre), nyquist: (at(0, centre) + at(middle, 0)) / 2 };
}

export const gainWords = ({ mean, nyquist }) => `gain ${mean.toFixed(2)} at the mean, ${nyquist.toFixed(2)} at Nyquist`;

// Which of two kinds of picture a filter lets through: more of the mean, or more of the finest.
export function kindOf({ mean, nyquist }) {
  if (mean > 2 * nyquist) return "passes the coarse";
  return nyquist > 2 * mean ? "passes the fine" : "passes both";
}

export function crossingWords({ where, photos, mean }) {
  const half = where === null
    ? "The two curves do not cross."
    : `They cross at ${where.toFixed(3)} cycles per pixel: as many answers hang on what is finer as on what is coarser.`;
  return `${half} ${photos} photos, the mean ${mean ? "kept" : "lost"} on both sides.`;
}
