// RISE as it converges: how many masks, how sure, and how the error fell; more masks, or others.
import { lineThrough } from "./explain_maps.js";
import { riseLine } from "./explain_words.js";
import { percent } from "./grid.js";

export const RISE_PAGE = `<section class="lk-rise" aria-label="RISE as it converges"><div class="lk-rise-head"><h2>RISE converges</h2>
    <label><span>masks</span><select class="lk-masks" aria-label="masks of RISE"></select></label>
    <button type="button" class="lk-seed" title="the same number of masks from another seed">other masks</button></div>
  <div class="lk-noise"></div><p class="lk-rise-line" role="status"></p></section>`;

const [NOISE_LEFT, NOISE_RIGHT, NOISE_TOP, NOISE_BOTTOM, NOISE_TALL] = [42, 10, 8, 20, 104];
const NOISE_ALONE = 0.3; // a map of noise alone has about this; see docs/instruments.md

export function drawRise(part, side) {
  part.hidden = !side;
  if (!side) return;
  const place = part.querySelector(".lk-noise");
  const wide = Math.max(220, place.clientWidth);
  const trail = side.trail.filter(([n]) => n >= 64 || side.masks[1] <= 64);
  const most = Math.max(0.4, ...trail.map(([, noise]) => Math.min(1, noise)));
  const x = (n) => NOISE_LEFT + (n / side.masks[1]) * (wide - NOISE_LEFT - NOISE_RIGHT);
  const y = (noise) => NOISE_TOP + (1 - Math.min(noise, most) / most) * (NOISE_TALL - NOISE_TOP - NOISE_BOTTOM);
  const floor = NOISE_TALL - NOISE_BOTTOM;
  const points = trail.map(([n, noise]) => [x(n), y(noise)]);
  const band = points.length > 1 ? `${lineThrough(points)}L${points.at(-1)[0]} ${floor}L${points[0][0]} ${floor}Z` : "";
  const rule = (noise, name) => `<line class="${name}" x1="${NOISE_LEFT}" x2="${wide - NOISE_RIGHT}" y1="${y(noise)}" y2="${y(noise)}"/>`
    + `<text x="${NOISE_LEFT - 6}" y="${y(noise) + 4}" text-anchor="end">${percent(noise)}</text>`;
  const parts = [
    rule(0, "lk-rule"), rule(0.1, "lk-rule"), rule(NOISE_ALONE, "lk-alone"),
    `<text x="${wide - NOISE_RIGHT}" y="${y(NOISE_ALONE) - 5}" text-anchor="end">a map of noise alone</text>`,
    `<path class="lk-band" d="${band}"/><path class="lk-error" d="${lineThrough(points)}"/>`,
    points.length ? `<circle class="lk-now" cx="${points.at(-1)[0]}" cy="${points.at(-1)[1]}" r="4.5"/>` : "",
    `<text x="${NOISE_LEFT}" y="${NOISE_TALL - 4}">0</text><text x="${wide - NOISE_RIGHT}" y="${NOISE_TALL - 4}" text-anchor="end">${side.masks[1]} masks</text>`,
  ];
  place.innerHTML = `<svg viewBox="0 0 ${wide} ${NOISE_TALL}" width="${wide}" height="${NOISE_TALL}" role="img" aria-label="standard error, as a share of the map's range, by masks: ${riseLine(side)}">${parts.join("")}</svg>`;
  part.querySelector(".lk-rise-line").textContent = riseLine(side);
}
