// How fields grow with depth, of two models on one chart: at most and in effect. A click goes to that layer.
import { extents } from "./field_maps.js";
import { mostOf, tickOf } from "./field_words.js";
import { percent } from "./grid.js";

const [LEFT, RIGHT, TOP, BOTTOM] = [58, 14, 30, 30];
const TALL = 250;
const LOWEST = 1 / 32;

function svg(tag, attributes, text = "") {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  if (text) node.textContent = text;
  return node;
}

// `pick(side, layer, event)` is called when the visitor chooses a point.
export function makeGrowth(place, pick) {
  let spots = []; // [x, y, side, layer] of every point

  // `sides` are { layers, size, at, title }; `part` is the share of the heat that is measured.
  function draw(sides, parts, part) {
    const wide = Math.max(260, place.clientWidth);
    const found = sides.map(({ layers, size }) => layers.map((layer) => extents(layer, size, part)));
    const values = found.flat().flatMap(({ most, effect }) => [most, effect]).filter((value) => value);
    const [low, high] = [Math.min(LOWEST, ...values), Math.max(2, ...values)].map((value, i) => 2 ** [Math.floor, Math.ceil][i](Math.log2(value)));
    const endless = sides.some(({ layers }) => layers.some(({ kind }) => kind === "everything"));
    const ceiling = TOP + (endless ? 32 : 8);
    const y = (share) => ceiling + (Math.log2(high / share) / Math.log2(high / low)) * (TALL - BOTTOM - ceiling);
    const x = (i, n) => LEFT + 10 + (n > 1 ? i / (n - 1) : 0.5) * (wide - LEFT - RIGHT - 20);
    const chart = svg("svg", { viewBox: `0 0 ${wide} ${TALL}`, width: wide, height: TALL, role: "img", "aria-label": spoken(sides, parts, part) });
    chart.append(...axes(y, low, high, wide, endless));
    spots = [];
    sides.forEach(({ layers, at, title }, side) => {
      const line = (name) => svg("path", { class: `lk-line lk-${name} lk-of-${side}`, d: pathOf(found[side].map((one, i) => {
        const value = one[name === "most" ? "most" : "effect"];
        return value ? [x(i, layers.length), y(value)] : null;
      })) });
      chart.append(line("most"), line("effect"));
      found[side].forEach(({ most, effect }, i) => {
        const here = x(i, layers.length);
        const told = `${title}, ${layers[i].name}: at most ${mostOf(layers[i])}${effect ? `, ${percent(parts[part])} of the heat in ${layers[i].sides[part]} px` : ""}`;
        const point = (top, name) => {
          spots.push([here, top, side, i]);
          const mark = markOf(side, here, top, most === null && name === "most");
          mark.setAttribute("class", `lk-point lk-${name} lk-of-${side}${i === at ? " lk-here" : ""}`);
          mark.append(svg("title", {}, told));
          return mark;
        };
        const nowhere = layers[i].kind === "everything" ? TOP + 5 + 8 * side : y(1) - 9; // more than the picture: just above it
        chart.append(point(most === null ? nowhere : y(most), "most"));
        if (effect) chart.append(point(y(effect), "effect"));
      });
    });
    place.replaceChildren(chart);
  }

  place.addEventListener("click", (event) => {
    const box = place.getBoundingClientRect();
    const [across, down] = [event.clientX - box.left, event.clientY - box.top];
    const far = ([x, y]) => Math.hypot(x - across, 0.6 * (y - down));
    const nearest = spots.reduce((best, spot) => (best && far(best) <= far(spot) ? best : spot), null);
    if (nearest) pick(nearest[2], nearest[3], event);
  });

  return { draw };
}

// Circles for the left model, squares for the right, triangles where there is no end.
function markOf(side, x, y, endless) {
  if (endless) return svg("path", { d: `M${x} ${y - 5}l5 8h-10z` });
  return side === 0 ? svg("circle", { cx: x, cy: y, r: 4.5 }) : svg("rect", { x: x - 4, y: y - 4, width: 8, height: 8 });
}

function axes(y, low, high, wide, endless) {
  const parts = [];
  for (let share = low; share <= high; share *= 2) {
    if (Math.round(Math.log2(share)) % 2 && share !== 1 && high / low > 64) continue;
    parts.push(svg("line", { class: share === 1 ? "lk-whole" : "lk-rule", x1: LEFT, x2: wide - RIGHT, y1: y(share), y2: y(share) }));
    parts.push(svg("text", { x: LEFT - 8, y: y(share) + 4, "text-anchor": "end" }, share === 1 ? "picture" : tickOf(share)));
  }
  if (endless) parts.push(svg("text", { x: LEFT - 8, y: TOP + 12, "text-anchor": "end" }, "no end"));
  parts.push(svg("text", { x: LEFT, y: 14, class: "lk-axis" }, "side of the field, of the picture's side"));
  parts.push(svg("text", { x: LEFT + 10, y: TALL - 8 }, "first block"));
  parts.push(svg("text", { x: wide - RIGHT, y: TALL - 8, "text-anchor": "end" }, "last block"));
  return parts;
}

// A line through what is known; it breaks where nothing is.
export function pathOf(points) {
  return points.map((point, i) => (point ? `${points[i - 1] ? "L" : "M"}${point[0].toFixed(1)} ${point[1].toFixed(1)}` : "")).join("");
}

function spoken(sides, parts, part) {
  const one = ({ layers, title }) => `${title}: ${layers.map((layer) =>
    `${layer.name} at most ${mostOf(layer)}${layer.sides && layer.sides[part] !== null ? `, in effect ${layer.sides[part]} px` : ""}`).join("; ")}`;
  return `Growth with depth, ${percent(parts[part])} of the heat. ${sides.map(one).join(". ")}`;
}
