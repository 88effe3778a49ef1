// Deletion and insertion as a film of both methods, beside their curves: play, scrub, or press on the chart.
import { make } from "./dom.js";
import { better, changedWords } from "./explain_words.js";
import { filmPicture, lineThrough, plain } from "./explain_maps.js";
import { percent } from "./grid.js";

const FILM_MS = 6000;
const [FILM_LEFT, FILM_RIGHT, FILM_TOP, FILM_BOTTOM] = [42, 10, 10, 34];
const FILM_TALL = 190;

export const FILM_PAGE = `<section class="lk-film" aria-label="film of the pixels that mattered most">
  <div class="lk-film-head"><h2>Does the model believe it?</h2>
    <div class="lk-choice lk-ways" role="group" aria-label="film">
      <button type="button" data-way="deletion">deletion</button><button type="button" data-way="insertion">insertion</button></div></div>
  <div class="lk-frames">${[0, 1].map((side) => `<figure data-side="${side}"><canvas role="img"></canvas>
    <figcaption><i class="lk-mark lk-of-${side}"></i><span></span></figcaption></figure>`).join("")}</div>
  <div class="lk-play"><button type="button" class="lk-run" aria-label="play the film">▶</button>
    <input type="range" class="lk-scrub" min="0" max="1" step="1" value="0" aria-label="step of the film"></div>
  <div class="lk-chart"></div>
  <p class="lk-areas"></p></section>`;

function drawnAs(tag, attributes, text = "") {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  if (text) node.textContent = text;
  return node;
}

// `go(to, event)` is called with { step } or { way } when the visitor chose.
export function makeFilm(find, go) {
  const part = find(".lk-film");
  const frames = [0, 1].map((side) => part.querySelector(`[data-side="${side}"]`));
  const chart = part.querySelector(".lk-chart");
  const run = part.querySelector(".lk-run");
  const scrub = part.querySelector(".lk-scrub");
  const slow = window.matchMedia("(prefers-reduced-motion: reduce)");
  const film = { ready: false, load, build, draw, stop };
  let size = [1, 1];
  let stock = {}; // the pictures that the film is cut from, as RGBA
  let sides = [];
  let steps = 0;
  let at = 0;
  let built = "";
  let playing = 0;

  // The picture, the blurred one, and the colour of what is gone.
  function load(newSize, [whole, blurred, blank], done) {
    size = newSize;
    film.ready = false;
    Promise.all([whole, blurred].map((source) => pixelsOf(source, size))).then(([first, second]) => {
      stock = { whole: first, blurred: second, blank: plain(blank, size[0] * size[1]) };
      film.ready = true;
      done();
    });
  }

  // `sides` are { title, film, turn }; their film is null while it is on its way.
  function build(newSides) {
    sides = newSides;
    steps = Math.max(0, ...sides.map(({ film: one }) => (one ? one.share.length - 1 : 0)));
    built = "";
    part.classList.toggle("lk-coming", steps === 0);
    for (const control of [run, scrub]) control.disabled = steps === 0;
    scrub.max = String(Math.max(1, steps));
    if (!steps) stop();
    return steps;
  }

  function draw({ step, way }) {
    at = step;
    const [before, after] = way === "deletion" ? [stock.whole, stock.blank] : [stock.blurred, stock.whole];
    sides.forEach(({ title, film: one, turn }, side) => {
      const canvas = frames[side].querySelector("canvas");
      const caption = frames[side].querySelector("span");
      if (canvas.width !== size[1] || canvas.height !== size[0]) [canvas.width, canvas.height] = [size[1], size[0]];
      const brush = canvas.getContext("2d", { willReadFrequently: true });
      const image = brush.createImageData(size[1], size[0]);
      if (film.ready && one) filmPicture(turn, step, before, after, image.data);
      else if (film.ready) image.data.set(stock.whole);
      brush.putImageData(image, 0, 0);
      const score = one ? percent(one[way][Math.min(step, one[way].length - 1)]) : "on its way";
      caption.textContent = `${title}: ${score}`;
      canvas.setAttribute("aria-label", `${title}: ${one ? `${changedWords(way, one.share[Math.min(step, one.share.length - 1)])}, the model says ${score}` : score}`);
    });
    if (built !== `${way} ${chart.clientWidth}`) buildChart(way);
    built = `${way} ${chart.clientWidth}`;
    moveMarker(way);
    const known = sides.find(({ film: one }) => one)?.film;
    scrub.value = String(step);
    scrub.setAttribute("aria-valuetext", known ? changedWords(way, known.share[step]) : "the film is on its way");
    for (const button of part.querySelectorAll("[data-way]")) button.setAttribute("aria-pressed", String(button.dataset.way === way));
    part.querySelector(".lk-areas").textContent = known
      ? `Area under the curve (${better(way)}): ${sides.map(({ title, film: one }) => `${title} ${one ? one.areas[way].toFixed(3) : "–"}`).join(" · ")}`
      : "The film is on its way: it needs both maps as they are in the end.";
  }

  // ---- the curves

  const across = (share, wide) => FILM_LEFT + share * (wide - FILM_LEFT - FILM_RIGHT);
  const high = (way) => Math.max(0.05, ...sides.flatMap(({ film: one }) => (one ? one[way] : []))) * 1.06;
  const down = (score, way) => FILM_TOP + (1 - score / high(way)) * (FILM_TALL - FILM_TOP - FILM_BOTTOM);

  function buildChart(way) {
    const wide = Math.max(220, chart.clientWidth);
    const told = sides.map(({ title, film: one }) => (one ? `${title}: area ${one.areas[way].toFixed(3)}` : "")).filter(Boolean).join("; ");
    const drawing = drawnAs("svg", { viewBox: `0 0 ${wide} ${FILM_TALL}`, width: wide, height: FILM_TALL, role: "img", "aria-label": `${way}: probability by share of changed pixels. ${told}` });
    for (const tick of ticksTo(high(way))) {
      drawing.append(drawnAs("line", { class: "lk-rule", x1: FILM_LEFT, x2: wide - FILM_RIGHT, y1: down(tick, way), y2: down(tick, way) }));
      drawing.append(drawnAs("text", { x: FILM_LEFT - 6, y: down(tick, way) + 4, "text-anchor": "end" }, percent(tick)));
    }
    for (const share of [0, 0.25, 0.5, 0.75, 1]) drawing.append(drawnAs("text", { x: across(share, wide), y: FILM_TALL - 18, "text-anchor": share === 1 ? "end" : "middle" }, percent(share)));
    drawing.append(drawnAs("text", { x: (FILM_LEFT + wide - FILM_RIGHT) / 2, y: FILM_TALL - 3, "text-anchor": "middle" }, way === "deletion" ? "pixels gone, the most important first" : "pixels back, the most important first"));
    drawing.append(drawnAs("line", { class: "lk-marker", y1: FILM_TOP, y2: FILM_TALL - FILM_BOTTOM }));
    sides.forEach(({ film: one }, side) => {
      if (!one) return;
      drawing.append(drawnAs("path", { class: `lk-curve lk-of-${side}`, d: lineThrough(one.share.map((share, i) => [across(share, wide), down(one[way][i], way)])) }));
      drawing.append(drawnAs("circle", { class: `lk-dot lk-of-${side}`, r: 5 }));
    });
    chart.replaceChildren(drawing);
  }

  function moveMarker(way) {
    const wide = Math.max(220, chart.clientWidth);
    const known = sides.find(({ film: one }) => one)?.film;
    const x = known ? across(known.share[at], wide) : FILM_LEFT;
    const marker = chart.querySelector(".lk-marker");
    marker.setAttribute("x1", x);
    marker.setAttribute("x2", x);
    sides.forEach(({ film: one }, side) => {
      const dot = chart.querySelector(`circle.lk-of-${side}`);
      if (one && dot) [["cx", x], ["cy", down(one[way][at], way)]].forEach(([name, value]) => dot.setAttribute(name, value));
    });
  }

  // ---- hands

  function stop() {
    clearInterval(playing);
    playing = 0;
    run.textContent = "▶";
    run.setAttribute("aria-label", "play the film");
  }

  // Who wishes for little motion gets eight stills, one a second.
  function play(event) {
    if (at >= steps) go({ step: 0 }, event);
    const stride = slow.matches ? Math.ceil(steps / 8) : 1;
    run.textContent = "❚❚";
    run.setAttribute("aria-label", "pause the film");
    playing = setInterval(() => {
      go({ step: Math.min(steps, at + stride) }, null);
      if (at + stride >= steps) stop();
    }, slow.matches ? 1000 : FILM_MS / steps);
  }

  run.addEventListener("click", (event) => (playing ? stop() : play(event)));
  scrub.addEventListener("input", (event) => {
    stop();
    go({ step: Number(scrub.value) }, event);
  });
  for (const button of part.querySelectorAll("[data-way]"))
    button.addEventListener("click", (event) => go({ way: button.dataset.way }, event));
  const pointed = (event) => {
    if (!steps || (event.type === "pointermove" && !event.buttons)) return;
    stop();
    const box = chart.getBoundingClientRect();
    const share = (event.clientX - box.left - FILM_LEFT) / (Math.max(220, box.width) - FILM_LEFT - FILM_RIGHT);
    go({ step: Math.min(steps, Math.max(0, Math.round(share * steps))) }, event);
  };
  chart.addEventListener("pointerdown", (event) => {
    chart.setPointerCapture(event.pointerId);
    pointed(event);
  });
  chart.addEventListener("pointermove", pointed);
  return film;
}

const ticksTo = (most) => {
  const by = [0.02, 0.05, 0.1, 0.2, 0.25].find((width) => most / width <= 5) ?? 0.25;
  return Array.from({ length: Math.floor(most / by) + 1 }, (_, i) => i * by);
};

function pixelsOf(source, [h, w]) {
  return new Promise((done) => {
    const coming = new Image();
    coming.onload = () => {
      const canvas = make("canvas", "");
      [canvas.width, canvas.height] = [w, h];
      const brush = canvas.getContext("2d", { willReadFrequently: true });
      brush.drawImage(coming, 0, 0, w, h);
      done(brush.getImageData(0, 0, w, h).data);
    };
    coming.src = source;
  });
}
