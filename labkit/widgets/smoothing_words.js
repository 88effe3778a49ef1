// What the view of over-smoothing says, in words.
import { percent, spot } from "./grid.js";
import { kinOf, rowOf } from "./smoothing_cosines.js";

export const signed = (value, digits = 2) => (value === null ? "–" : value.toFixed(digits).replace("-", "−"));

export const listed = (blocks) => (blocks.length < 2 ? String(blocks[0]) : `${blocks.slice(0, -1).join(", ")} and ${blocks.at(-1)}`);

// "layer 3, blocks.3"; and whether what stands there is what the block was given.
export function layerName(head, layer) {
  const left = head.skipped.includes(layer) ? ", left out" : "";
  return `layer ${layer} (${head.layers[layer].name}${left})`;
}

// The line under the photo: who is like the marked patch, or what the two marked patches have in common.
export function likesLine(head, state, matrix) {
  const { query, other } = state;
  const grid = head.layers[state.layer].shown;
  const row = rowOf(matrix, query);
  const start = `${spot(query, grid)}${state.pinned ? " (pinned)" : ""} · ${layerName(head, state.layer)}`;
  if (other >= 0) return `${start} · with ${spot(other, grid)} a cosine of ${signed(row[other])}`;
  const { most, least } = kinOf(row, query);
  return `${start} · most alike: ${spot(most, grid)} (${signed(row[most])}), least: ${spot(least, grid)} (${signed(row[least])})`;
}

// Under the matrix: what it holds, and of how many tokens.
export function tokensLine({ grid, shown }) {
  const [all, some] = [grid, shown].map(([h, w]) => `${h} × ${w}`);
  if (all === some) return `${all} tokens, row by row`;
  return `${some} of the ${all} tokens, evenly chosen; the numbers are over all of them`;
}

// What became of the answer without some blocks.
export function effectLine(head) {
  const { effect, layers, whole, skipped } = head;
  if (!skipped.length) return "Press a number to leave that block out: it then hands on what it was given.";
  const blocks = `Without ${skipped.length > 1 ? "blocks" : "block"} ${listed(skipped)}`;
  const among = `${signed(layers.at(-1).raw.mean)} with each other, before ${signed(whole.at(-1).raw.mean)}`;
  if (!effect) return `${blocks}, the mean cosine of the last tokens is ${among}.`;
  const way = effect.after > effect.before ? "rises" : "falls";
  return (
    `${blocks}, “${effect.label}” ${way} from ${percent(effect.before)} to ${percent(effect.after)} (KL ${signed(effect.kl)} nats); ` +
    `the mean cosine of the last tokens is ${signed(effect.turned)} with what they were, and ${among}.`
  );
}
