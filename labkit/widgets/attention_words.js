// What the view says, in words: for the line under the photo, the tips and the screen reader.
import { mean, percent, sameSpot, spot } from "./grid.js";
import { PADDING, patternOf } from "./attention_maps.js";

export const nameOf = (layer, head) => (head < 0 ? `layer ${layer} mean of heads` : `layer ${layer} head ${head}`);

export function tokenName(token) {
  if (token === PADDING) return "padding";
  return token === -1 ? "class token" : `extra token ${-1 - token}`;
}

// A measure (nmi, distance, entropy) of a head, or its mean over the heads (-1); null where it is not defined.
export const measureOf = (info, head, name) => (head < 0 ? mean(info[name]) : info[name][head]);

export const patternAt = (info, head, bands) => patternOf(measureOf(info, head, "nmi"), bands);

// [title, line, line, …] of a tile.
export function tileWords(info, layer, head, bands) {
  const pattern = patternAt(info, head, bands);
  if (pattern === "none") return [nameOf(layer, head), "no place in the photo asks here"];
  const number = (name, digits) => measureOf(info, head, name).toFixed(digits);
  return [nameOf(layer, head), pattern, `NMI ${number("nmi", 3)}`, `distance ${number("distance", 1)} patches`,
    `entropy ${number("entropy", 2)} nats`];
}

// The line under the photo. `map` is null where there is no answer, `here` false while the layer's bytes are on their way.
export function lineOf(info, state, map, here) {
  const { layer, head, reverse } = state;
  const nmi = measureOf(info, head, "nmi");
  const place = sameSpot(state.query, info.grid, reverse ? info.keyGrid : info.grid);
  const name = place < 0 ? tokenName(place) : spot(place, reverse ? info.keyGrid : info.grid);
  const parts = [
    `${reverse ? "" : "query "}${name}${state.pinned ? " (pinned)" : ""}`,
    nameOf(layer, head) + (nmi === null ? "" : ` (${patternAt(info, head, state.bands)}, NMI ${nmi.toFixed(2)})`),
  ];
  if (!here) parts.push("this layer is on its way …");
  else if (!map) parts.push(reverse ? "nothing can look at it here" : "this layer does not ask from here");
  else if (reverse) {
    if (map.best >= 0) parts.push(`looked at most by ${spot(map.best, map.grid)} (${percent(map.peak)} of what that one gives)`);
    map.prefix.forEach((share, i) => parts.push(`the ${tokenName(info.asking[i])} gives it ${percent(share)}`));
  } else {
    if (map.best >= 0) parts.push(`looks most at ${spot(map.best, map.grid)} (${percent(map.peak)})`);
    map.prefix.forEach((share, i) => parts.push(`${percent(share)} goes to the ${tokenName(info.prefix[i])}`));
  }
  return parts.join(" · ");
}
