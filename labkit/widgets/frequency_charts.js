// The charts: curves over frequency, as SVG. Colours are the style sheet's, or the layer's own.
import { make } from "./dom.js";
import { nearestCurve } from "./frequency_words.js";

const EDGES = { left: 48, right: 12, top: 10, bottom: 34 };

// The ends of both axes and the room on the page -> where a point lies, and back.
function axesOf({ wide, tall, x: [left, right], y: [low, high], log = false }) {
  const along = (value) => (log ? Math.log(value / left) / Math.log(right / left) : (value - left) / (right - left));
  const [across, down] = [wide - EDGES.left - EDGES.right, tall - EDGES.top - EDGES.bottom];
  return {
    x: (value) => EDGES.left + along(value) * across,
    y: (value) => EDGES.top + (1 - (value - low) / (high - low)) * down,
    at: (px, py) => ({ f: left + ((px - EDGES.left) / across) * (right - left), value: high - ((py - EDGES.top) / down) * (high - low) }),
  };
}

// Ticks, titles and lines as SVG. ticks: [value, text]; lines: { name, points, style }; walls: vertical lines [value, name].
function chartOf({ label, xTitle, yTitle, xTicks, yTicks, lines, walls = [], ...room }) {
  const { wide, tall } = room;
  const { x, y } = axesOf(room);
  const [floor, end] = [tall - EDGES.bottom, wide - EDGES.right];
  const parts = [
    ...yTicks.map(([value, text]) => `<line class="lk-hairline" x1="${EDGES.left}" x2="${end}" y1="${y(value)}" y2="${y(value)}"/>`
      + `<text x="${EDGES.left - 6}" y="${y(value) + 4}" text-anchor="end">${text}</text>`),
    ...xTicks.map(([value, text]) => `<text x="${x(value)}" y="${floor + 15}" text-anchor="middle">${text}</text>`),
    ...walls.map(([value, name]) => `<line class="${name}" x1="${x(value)}" x2="${x(value)}" y1="${EDGES.top}" y2="${floor}"/>`),
    `<text x="${(EDGES.left + end) / 2}" y="${tall - 3}" text-anchor="middle">${xTitle}</text>`,
    ...lines.map(({ name, points, style = "", dots = false }) => {
      const placed = points.map(([a, b]) => [x(a).toFixed(1), y(b).toFixed(1)]);
      const path = `<path class="${name}" style="${style}" d="M${placed.map((point) => point.join(" ")).join("L")}"/>`;
      return dots ? path + placed.map(([a, b]) => `<circle class="${name}" style="${style}" cx="${a}" cy="${b}" r="3"/>`).join("") : path;
    }),
  ];
  return `<svg viewBox="0 0 ${wide} ${tall}" width="${wide}" height="${tall}" role="img" aria-label="${label}">${parts.join("")}`
    + `<text class="lk-y" transform="translate(11 ${(EDGES.top + floor) / 2}) rotate(-90)" text-anchor="middle">${yTitle}</text></svg>`;
}

const CYCLES = [[0, "0"], [0.25, "0.25"], [0.5, "0.5"]];
const FAR = 0.7072;

const overRings = (values, longer) => Array.from(values, (value, k) => [Math.min(k / longer, FAR), value]);

// The spectra by depth: a line a layer. `pick(layer, event)` is called when the visitor points at one.
export function makeSpectra(place, pick) {
  let head = null;
  let curves = [];
  let room = null;
  let shown = null; // what the chart that stands here depends on: while a ring is dragged, it stays

  function build(newHead, layers) {
    head = newHead;
    shown = null;
    curves = layers.map((values, i) => ({ values, longer: Math.max(...head.layers[i].grid) }));
  }

  function draw({ layer }, passed) {
    const wanted = `${layer} ${place.clientWidth}`;
    if (shown === wanted) return;
    shown = wanted;
    const every = [...curves.map(({ values }) => values), passed].flatMap((values) => Array.from(values.subarray(1)));
    const low = Math.floor(Math.min(-1, ...every));
    const high = Math.ceil(Math.max(0, ...every));
    room = { wide: place.clientWidth, tall: Math.min(300, Math.max(220, 0.62 * place.clientWidth)), x: [0, FAR], y: [low, high] };
    const step = high - low > 6 ? 2 : 1;
    const colour = (i) => `--line: light-dark(${head.depths.light[i]}, ${head.depths.dark[i]})`;
    const line = (i, name) => ({ name, points: overRings(curves[i].values, curves[i].longer), style: colour(i), dots: i === layer });
    const others = curves.map((_, i) => i).filter((i) => i !== layer);
    place.innerHTML = chartOf({
      ...room,
      label: `spectra of ${curves.length} layers; layer ${layer}: ${overRings(curves[layer].values, curves[layer].longer).map(([f, value]) => `${value.toFixed(1)} at ${f.toFixed(2)}`).join(", ")}`,
      xTitle: "frequency (cycles per cell of the layer)",
      yTitle: "ln amplitude, less the mean’s (nats)",
      xTicks: [...CYCLES, [FAR, "0.71"]],
      yTicks: Array.from({ length: Math.floor((high - low) / step) + 1 }, (_, i) => high - i * step).map((value) => [value, String(value).replace("-", "−")]),
      walls: [[0.5, "lk-nyquist"]],
      lines: [
        ...others.map((i) => line(i, "lk-layer-line")),
        { name: "lk-after", points: overRings(passed, curves[layer].longer) },
        line(layer, "lk-layer-line lk-chosen"),
      ],
    });
  }

  place.addEventListener("click", (event) => {
    const box = place.getBoundingClientRect();
    const { f, value } = axesOf(room).at(event.clientX - box.left, event.clientY - box.top);
    const nearest = nearestCurve(curves, f, value);
    if (nearest >= 0) pick(nearest, event);
  });

  return { build, draw };
}

// The gains of a layer's filters over rings, each of its own largest: thin lines, their mean thick, the chosen one apart.
export function gainChart({ rings, longer, chosen, wide, tall, label }) {
  const shares = rings.map((values) => {
    const peak = Math.max(...values, 1e-30);
    return Array.from(values, (value) => value / peak);
  });
  const mean = shares[0].map((_, k) => shares.reduce((sum, one) => sum + one[k], 0) / shares.length);
  const lines = shares.map((values) => ({ name: "lk-gain", points: overRings(values, longer) }));
  lines.push({ name: "lk-gain lk-gain-mean", points: overRings(mean, longer) });
  if (chosen >= 0) lines.push({ name: "lk-gain lk-gain-chosen", points: overRings(shares[chosen], longer), dots: true });
  return chartOf({
    wide, tall, label, lines, x: [0, FAR], y: [0, 1], walls: [[0.5, "lk-nyquist"]], xTicks: CYCLES,
    xTitle: "cycles per cell", yTitle: "gain, of its largest", yTicks: [[0, "0"], [0.5, "0.5"], [1, "1"]],
  });
}

// How many answers stay with what is coarser than a cutoff, and with what is finer.
export function drawCrossing(place, { cutoffs, coarse, fine, where }, { low, high }) {
  const ends = [cutoffs[0], cutoffs[cutoffs.length - 1]];
  const zip = (values) => cutoffs.map((cutoff, i) => [cutoff, values[i]]);
  const reached = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5].filter((f) => f >= ends[0] && f <= ends[1] + 1e-9);
  const walls = [[low, "lk-wall-low"], [high, "lk-wall-high"]].filter(([f]) => f >= ends[0] && f <= ends[1]);
  if (where !== null) walls.push([where, "lk-nyquist"]);
  place.innerHTML = chartOf({
    wide: place.clientWidth, tall: 230, x: ends, y: [0, 1], log: true, walls,
    label: `share of photos whose answer stays. Coarser alone: ${zip(coarse).map(([f, share]) => `${Math.round(100 * share)} % at ${f.toFixed(3)}`).join(", ")}. `
      + `Finer alone: ${zip(fine).map(([f, share]) => `${Math.round(100 * share)} % at ${f.toFixed(3)}`).join(", ")}`,
    xTitle: "cutoff (cycles per pixel)", yTitle: "photos whose answer stays",
    xTicks: reached.map((f) => [f, String(f)]),
    yTicks: [[0, "0 %"], [0.5, "50 %"], [1, "100 %"]],
    lines: [{ name: "lk-coarse", points: zip(coarse), dots: true }, { name: "lk-fine", points: zip(fine), dots: true }],
  });
}

// A line of a legend: a stroke as in the chart, and what it is.
export function legendKey(name, words) {
  const key = make("span", "lk-legend-key");
  const stroke = make("i", name);
  key.append(stroke, make("span", "", words));
  return key;
}
