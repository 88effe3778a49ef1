// Three curves by depth: how alike, in how many directions, how fine. Click or drag for the layer.
import { make } from "./dom.js";
import { signed } from "./smoothing_words.js";

const TALL = 122;
const EDGE = { left: 34, right: 8, top: 9, bottom: 18 };
const NOISE = 1 - Math.PI / 16; // the share of white noise beyond half of Nyquist

// What each chart shows: `of` a curve's number, `limit` a line beside it, `bands` between quantiles, `ends` of the axis.
const CHARTS = [
  {
    name: "cosine",
    words: (kind) => (kind === "raw" ? "cosine of two tokens" : "the same, less the mean token"),
    number: (one, kind) => (kind === "raw" ? `mean ${signed(one.raw.mean)}` : `spread ${signed(one.centred.spread)}`),
    of: (one, kind) => one[kind].mean,
    beside: (one, kind) => (kind === "raw" ? one.cls : null),
    bands: [[0, 4], [1, 3]],
    ends: (layers, kind) => [Math.min(0, ...layers.map((one) => Math.floor(5 * one[kind].quantiles[0]) / 5)), 1],
  },
  {
    name: "rank",
    words: () => "effective rank (directions)",
    number: (one) => `${one.rank.toFixed(1)} of ${one.most}`,
    of: (one) => one.rank,
    limit: (one) => one.most,
    ends: (layers) => [0, Math.max(...layers.map((one) => one.most))],
  },
  {
    name: "high",
    words: () => "share of high frequencies",
    number: (one) => signed(one.high),
    of: (one) => one.high,
    limit: () => NOISE,
    ends: () => [0, 1],
  },
];

// `pick(layer, event)` is called when the visitor points at a layer.
export function makeCurves(place, pick) {
  let head = null;
  let shown = ""; // what the curves that are drawn depend on
  const parts = CHARTS.map(({ name }) => {
    const figure = make("figure", `lk-curve lk-curve-${name}`);
    const caption = make("figcaption", "");
    const part = { words: make("span", ""), number: make("b", ""), drawing: make("div", "lk-drawing") };
    caption.append(part.words, part.number);
    figure.append(caption, part.drawing);
    place.append(figure);
    return part;
  });
  for (const { drawing } of parts) layPointer(drawing);

  function build(newHead) {
    head = newHead;
    shown = "";
  }

  function draw(state) {
    const kind = state.centred ? "centred" : "raw";
    const wide = parts[0].drawing.clientWidth;
    if (shown !== `${kind} ${wide}`) CHARTS.forEach((chart, i) => { parts[i].drawing.innerHTML = drawn(chart, kind, head, wide); });
    shown = `${kind} ${wide}`;
    const at = across(wide, head.layers.length)(state.layer);
    CHARTS.forEach((chart, i) => {
      parts[i].words.textContent = chart.words(kind);
      parts[i].number.textContent = chart.number(head.layers[state.layer], kind);
      parts[i].drawing.querySelector(".lk-now").setAttribute("transform", `translate(${at.toFixed(1)} 0)`);
      parts[i].drawing.querySelectorAll("circle").forEach((dot, layer) => dot.classList.toggle("lk-here", layer === state.layer));
    });
  }

  function layPointer(drawing) {
    let held = false;
    const go = (event) => {
      const box = drawing.getBoundingClientRect();
      const share = (event.clientX - box.left - EDGE.left) / (box.width - EDGE.left - EDGE.right);
      pick(Math.min(head.layers.length - 1, Math.max(0, Math.floor(share * head.layers.length))), event);
    };
    drawing.addEventListener("pointerdown", (event) => {
      held = true;
      drawing.setPointerCapture(event.pointerId);
      go(event);
    });
    drawing.addEventListener("pointermove", (event) => held && go(event));
    for (const kind of ["pointerup", "pointercancel"]) drawing.addEventListener(kind, () => { held = false; });
  }

  return { build, draw };
}

const across = (wide, layers) => (layer) => EDGE.left + ((layer + 0.5) / layers) * (wide - EDGE.left - EDGE.right);

// One chart as SVG. Lines break where the grid changes: a rank over fewer tokens is another rank.
function drawn(chart, kind, head, wide) {
  const { layers, whole } = head;
  const x = across(wide, layers.length);
  const [low, high] = chart.ends([...layers, ...(whole ?? [])], kind);
  const y = (value) => TALL - EDGE.bottom - ((value - low) / (high - low)) * (TALL - EDGE.top - EDGE.bottom);
  const point = (layer, value) => `${x(layer).toFixed(1)} ${y(value).toFixed(1)}`;
  const breaks = layers.map((one, i) => i > 0 && String(one.grid) !== String(layers[i - 1].grid));
  const line = (list, of) => list.map((one, i) => (of(one) === null ? "" : `${i === 0 || breaks[i] ? "M" : "L"}${point(i, of(one))}`)).join("");
  const path = (name, list, of) => `<path class="${name}" d="${line(list, of)}"/>`;
  const start = x(0) - x(-0.5);
  const ticks = [low, ...(low < 0 ? [0] : []), high];
  const svg = [
    ...ticks.map((value) => `<line class="lk-hair" x1="${EDGE.left}" x2="${wide - EDGE.right}" y1="${y(value)}" y2="${y(value)}"/>`
      + `<text x="${EDGE.left - 6}" y="${y(value) + 4}" text-anchor="end">${Number(value.toFixed(1)).toString().replace("-", "−")}</text>`),
    ...breaks.map((broken, i) => (broken ? `<line class="lk-hair" x1="${x(i - 0.5)}" x2="${x(i - 0.5)}" y1="${EDGE.top}" y2="${TALL - EDGE.bottom}"/>` : "")),
    `<rect class="lk-now" x="${-start}" width="${2 * start}" y="0" height="${TALL - EDGE.bottom + 3}" rx="3"/>`,
    ...(chart.bands ?? []).map(([from, to]) => bandOf(layers, kind, from, to, point, breaks)),
    chart.limit ? path("lk-limit", layers, chart.limit) : "",
    chart.beside ? path("lk-beside", layers, (one) => chart.beside(one, kind)) : "",
    whole ? path("lk-before", whole, (one) => chart.of(one, kind)) : "",
    path("lk-line", layers, (one) => chart.of(one, kind)),
    ...layers.map((one, i) => `<circle class="${head.skipped.includes(i) ? "lk-left-out" : ""}" cx="${x(i)}" cy="${y(chart.of(one, kind))}" r="3"/>`),
    ...layerTicks(layers.length).map((i) => `<text x="${x(i)}" y="${TALL - 4}" text-anchor="middle">${i}</text>`),
  ];
  return `<svg viewBox="0 0 ${wide} ${TALL}" width="${wide}" height="${TALL}" role="img" aria-label="${chart.words(kind)}, by layer: `
    + `${layers.map((one) => signed(chart.of(one, kind))).join(", ")}">${svg.join("")}</svg>`;
}

function bandOf(layers, kind, from, to, point, breaks) {
  const stages = layers.reduce((found, _, i) => (i === 0 || breaks[i] ? [...found, [i]] : [...found.slice(0, -1), [...found.at(-1), i]]), []);
  const edge = (stage, quantile) => stage.map((i) => point(i, layers[i][kind].quantiles[quantile]));
  const shapes = stages.map((stage) => `M${[...edge(stage, to), ...edge(stage, from).reverse()].join("L")}Z`);
  return `<path class="lk-band" d="${shapes.join("")}"/>`;
}

// As many layer numbers as there is room for, the first and the last among them.
function layerTicks(layers) {
  const every = Math.ceil(layers / 13);
  return Array.from({ length: layers }, (_, i) => i).filter((i) => i % every === 0 && (i + every <= layers || i === layers - 1));
}
