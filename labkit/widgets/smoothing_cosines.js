// The packed cosines of `smoothing.py`, read back, and what is found among them. No drawing here.
import { numbersOf } from "./grid.js";

const FULL = 32767; // a cosine of 1, as it travels

export const COSINES = ["raw", "centred"];

// The bytes of one block of h x w shown tokens -> two full matrices `n n`, row by row.
export function openCosines([h, w], bytes) {
  const n = h * w;
  const packed = numbersOf(bytes, Int16Array);
  let at = 0;
  const found = {};
  for (const name of COSINES) {
    const matrix = new Float32Array(n * n);
    for (let row = 0; row < n; row++)
      for (let column = 0; column <= row; column++, at++)
        matrix[row * n + column] = matrix[column * n + row] = packed[at] / FULL;
    found[name] = matrix;
  }
  return found;
}

// What one token has with each: a row of the matrix.
export function rowOf(matrix, token) {
  const n = Math.sqrt(matrix.length);
  return matrix.subarray(token * n, (token + 1) * n);
}

// The token most like this one, and the one least like it; itself does not count. -1 where it is alone.
export function kinOf(row, token) {
  let [most, least] = [-1, -1];
  row.forEach((cosine, other) => {
    if (other === token) return;
    if (most < 0 || cosine > row[most]) most = other;
    if (least < 0 || cosine < row[least]) least = other;
  });
  return { most, least };
}

// "1-3" -> [1, 3]: the blocks that are left out, as the link says it.
export const blocksIn = (skip) => (skip ? skip.split("-").map(Number) : []);

// The same with one block more, or one less.
export function turnedOver(skip, block) {
  const there = blocksIn(skip);
  const left = there.includes(block) ? there.filter((one) => one !== block) : [...there, block];
  return left.sort((a, b) => a - b).join("-");
}
