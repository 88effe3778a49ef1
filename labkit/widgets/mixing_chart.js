// The local–hybrid–global plane: every block of both models, how far it reaches and how much that depends on who asks.

const [PLANE_LEFT, PLANE_RIGHT, PLANE_TOP, PLANE_BOTTOM] = [60, 16, 14, 44];
const PLANE_TALL = 340;
const BAND = [0.06, 0.12]; // labkit.probes.attention.Bands
const ZONES = [["local", BAND[1], 1], ["hybrid", ...BAND], ["global", 0, BAND[0]]];

function planeNode(tag, attributes, text = "") {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  if (text) node.textContent = text;
  return node;
}

// NMI on a square-root scale, or the two lower zones would be too thin to hit: 0 below, 1 above.
export const heightOf = (nmi) => Math.sqrt(Math.min(1, Math.max(0, nmi)));

// The points { side, layer, reach, nmi } of all blocks that have numbers.
export function pointsOf(models) {
  return models.flatMap(({ layers }, side) => layers.flatMap(({ reach, nmi }, layer) =>
    (typeof reach === "number" && typeof nmi === "number" ? [{ side, layer, reach, nmi }] : [])));
}

// `pick(side, layer, event)` is called when the visitor chooses a point.
export function makePlane(place, pick) {
  let spots = [];

  // `models` are { title, layers }, `at` the block chosen in each.
  function draw(models, at) {
    const wide = Math.max(260, place.clientWidth);
    const points = pointsOf(models);
    const furthest = Math.max(1.1, ...points.map(({ reach }) => reach + 0.05));
    const x = (reach) => PLANE_LEFT + (reach / furthest) * (wide - PLANE_LEFT - PLANE_RIGHT);
    const y = (nmi) => PLANE_TALL - PLANE_BOTTOM - heightOf(nmi) * (PLANE_TALL - PLANE_TOP - PLANE_BOTTOM);
    const chart = planeNode("svg", { viewBox: `0 0 ${wide} ${PLANE_TALL}`, width: wide, height: PLANE_TALL, role: "img", "aria-label": spokenPlane(models) });
    for (const [name, low, high] of ZONES) {
      chart.append(planeNode("rect", { class: `lk-zone lk-zone-${name}`, x: PLANE_LEFT, y: y(high), width: wide - PLANE_LEFT - PLANE_RIGHT, height: y(low) - y(high) }));
      const text = { class: `lk-zone-word lk-zone-${name}`, x: wide - PLANE_RIGHT - 7, y: name === "local" ? y(1) + 17 : (y(low) + y(high)) / 2 + 4.5, "text-anchor": "end" };
      chart.append(planeNode("text", text, name));
    }
    for (const nmi of [0, ...BAND, 0.3, 0.6, 1]) chart.append(planeNode("text", { x: PLANE_LEFT - 8, y: y(nmi) + 4, "text-anchor": "end" }, String(nmi)));
    for (const reach of [0, 0.25, 0.5, 0.75, 1]) {
      chart.append(planeNode("line", { class: "lk-tick", x1: x(reach), x2: x(reach), y1: y(0), y2: y(0) + 5 }));
      chart.append(planeNode("text", { x: x(reach), y: y(0) + 19, "text-anchor": "middle" }, String(reach)));
    }
    chart.append(planeNode("text", { x: PLANE_LEFT, y: PLANE_TALL - 6 }, "reach: 0 = itself, 1 = the whole picture alike"));
    chart.append(planeNode("text", { x: 14, y: y(1), transform: `rotate(-90 14 ${y(1)})`, "text-anchor": "end" }, "NMI: 0 = all queries alike, 1 = each its own"));
    models.forEach((_, side) => {
      const path = points.filter((point) => point.side === side).map(({ reach, nmi }) => `${x(reach).toFixed(1)} ${y(nmi).toFixed(1)}`);
      if (path.length > 1) chart.append(planeNode("path", { class: `lk-way lk-of-${side}`, d: `M${path.join("L")}` }));
    });
    spots = points.map((point) => ({ ...point, across: x(point.reach), down: y(point.nmi) }));
    const chosenLast = [...spots].sort((a, b) => (at[a.side] === a.layer) - (at[b.side] === b.layer));
    for (const { side, layer, across, down, nmi, reach } of chosenLast) {
      const { title, layers } = models[side];
      const size = 3.5 + 3 * (layers.length > 1 ? layer / (layers.length - 1) : 1);
      const mark = side === 0 ? planeNode("circle", { cx: across, cy: down, r: size })
        : planeNode("rect", { x: across - size, y: down - size, width: 2 * size, height: 2 * size });
      const here = at[side] === layer;
      mark.setAttribute("class", `lk-block lk-of-${side}${here ? " lk-here" : ""}`);
      mark.dataset.side = side;
      mark.dataset.layer = layer;
      mark.append(planeNode("title", {}, `${title}, ${layers[layer].name}: NMI ${nmi.toFixed(2)}, reach ${reach.toFixed(2)}`));
      chart.append(mark);
      if (here) chart.append(wordBeside(layers[layer].name, across, down, size, wide, side));
    }
    place.replaceChildren(chart);
  }

  // The left model's word stands above its mark, the right one's below: they may share a place.
  function wordBeside(name, across, down, size, wide, side) {
    const half = 4 * name.length;
    const x = Math.min(Math.max(across, PLANE_LEFT + half), wide - PLANE_RIGHT - half);
    return planeNode("text", { class: `lk-here-word lk-of-${side}`, x, y: down + (side === 0 ? -size - 7 : size + 15), "text-anchor": "middle" }, name);
  }

  place.addEventListener("click", (event) => {
    const box = place.getBoundingClientRect();
    const far = ({ across, down }) => Math.hypot(across - (event.clientX - box.left), down - (event.clientY - box.top));
    const nearest = spots.reduce((best, spot) => (best && far(best) <= far(spot) ? best : spot), null);
    if (nearest && far(nearest) < 40) pick(nearest.side, nearest.layer, event);
  });

  return { draw };
}

function spokenPlane(models) {
  return `NMI and reach of every block. ${models.map(({ title, layers }) => `${title}: ${layers.map(({ name, nmi, reach, pattern }) =>
    (typeof nmi === "number" ? `${name} NMI ${nmi.toFixed(2)}, reach ${reach.toFixed(2)}, ${pattern}` : `${name} without numbers`)).join("; ")}`).join(". ")}`;
}
