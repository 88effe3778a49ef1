// The packed layers of `packing.py`, read back: shares by query, shares by key. No drawing here.
import { mapOf } from "./grid.js";

export const PADDING = -1000;

// A share is peak * (level / 255)²: a look-up, so that hovering costs nothing.
const SQUARE = Float32Array.from({ length: 256 }, (_, level) => (level / 255) ** 2);

// One layer of the head's description and its bytes (any view on a buffer) -> arrays, and where each token stands in them.
export function openLayer(info, bytes) {
  const { windows, heads, q, k, prefix } = info;
  const buffer = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
  const counts = [windows * q, windows * k, windows * heads * q, windows * heads * q * prefix.length];
  const types = [Int32Array, Int32Array, Float32Array, Float32Array];
  let at = 0;
  const [queries, keys, peaks, extras] = types.map((Type, i) => {
    const part = new Type(buffer, at, counts[i]);
    at += 4 * counts[i];
    return part;
  });
  const levels = new Uint8Array(buffer, at, windows * heads * q * k);
  return { ...info, queries, keys, peaks, extras, levels, rowsOf: places(queries, q), columnsOf: places(keys, k) };
}

// token -> its [window, place] pairs; a key may stand in several windows.
function places(tokens, width) {
  const found = new Map();
  tokens.forEach((token, i) => {
    if (token === PADDING) return;
    if (!found.has(token)) found.set(token, []);
    found.get(token).push([Math.floor(i / width), i % width]);
  });
  return found;
}

const chosen = (layer, head) => (head < 0 ? Array.from({ length: layer.heads }, (_, h) => h) : [head]);

// Where a query looks: `shares` on the key grid (NaN where it cannot look), what goes to each of `prefix`, and the best cell.
// head -1 is the mean of the heads. null when this layer has no such query.
export function looksAt(layer, head, query) {
  const place = layer.rowsOf.get(query);
  if (!place) return null;
  const [window, row] = place[0];
  const shares = new Float32Array(layer.keyGrid[0] * layer.keyGrid[1]).fill(NaN);
  const prefix = new Float32Array(layer.prefix.length);
  const heads = chosen(layer, head);
  for (const h of heads) {
    const line = (window * layer.heads + h) * layer.q + row;
    const scale = layer.peaks[line] / heads.length;
    for (let j = 0; j < layer.k; j++) {
      const key = layer.keys[window * layer.k + j];
      if (key >= 0) shares[key] = (shares[key] || 0) + scale * SQUARE[layer.levels[line * layer.k + j]];
    }
    for (let p = 0; p < prefix.length; p++) prefix[p] += layer.extras[line * prefix.length + p] / heads.length;
  }
  return { ...mapOf(shares, layer.keyGrid), prefix };
}

// Who looks at a key: on the query grid, the share that each query gives to it (NaN where it cannot be seen).
export function lookedAtBy(layer, head, key) {
  const seen = layer.columnsOf.get(key);
  if (!seen) return null;
  const shares = new Float32Array(layer.grid[0] * layer.grid[1]).fill(NaN);
  const prefix = new Float32Array(layer.asking.length);
  const heads = chosen(layer, head);
  const extra = layer.prefix.indexOf(key);
  for (const [window, column] of seen)
    for (const h of heads)
      for (let row = 0; row < layer.q; row++) {
        const query = layer.queries[window * layer.q + row];
        if (query === PADDING) continue;
        const line = (window * layer.heads + h) * layer.q + row;
        const share = extra < 0
          ? layer.peaks[line] * SQUARE[layer.levels[line * layer.k + column]]
          : layer.extras[line * layer.prefix.length + extra];
        if (query >= 0) shares[query] = (shares[query] || 0) + share / heads.length;
        else prefix[layer.asking.indexOf(query)] += share / heads.length;
      }
  return { ...mapOf(shares, layer.grid), prefix };
}

// NMI below the band: global; above it: local; in it: hybrid; no NMI (only the class token asks): no pattern.
export function patternOf(nmi, [low, high]) {
  if (nmi === null) return "none";
  return nmi < low ? "global" : nmi > high ? "local" : "hybrid";
}
