// The spectrum of the photo, with the band as two rings on it: dragged with the pointer, moved with the keys.
import { paintCells } from "./stage.js";
import { CORNER, frequencyWords, nearerRing } from "./frequency_words.js";

export const LEVELS = { low: -5, peak: -1 }; // log₁₀ of the amplitude, as a share of full white
const RING = { low: "#3be4ff", high: "#ffffff" };
const SLANT = Math.SQRT1_2;
const STEP = 0.005;

// `wish({ low } or { high }, event)` is called as the visitor moves a ring; `flip(event)` when the mean is to pass or not.
export function makeRings(canvas, { wish, flip, band }) {
  const ink = canvas.getContext("2d", { alpha: false });
  const cells = document.createElement("canvas");
  let shown = { side: 1, modelSide: 1 };
  let active = "high";
  let held = false;

  function build(levels, side, modelSide, colours) {
    shown = { side, modelSide };
    paintCells(cells, { grid: [side, side], shares: levels, ...LEVELS }, colours);
  }

  function resize() {
    const width = Math.max(1, Math.round(canvas.clientWidth * Math.min(window.devicePixelRatio || 1, 2)));
    if (canvas.width !== width) canvas.width = canvas.height = width;
  }

  // One cycle per pixel of the model's picture, in pixels of the canvas.
  const unit = () => (shown.modelSide / shown.side) * canvas.width;

  function draw({ low, high, mean }) {
    const [w, middle, ratio] = [canvas.width, canvas.width / 2, canvas.width / canvas.clientWidth || 1];
    // The mean is a cell as wide as the others, and stands half a cell behind the middle on even sides.
    const centre = ((Math.floor(shown.side / 2) + 0.5) * w) / shown.side;
    ink.imageSmoothingEnabled = false;
    ink.drawImage(cells, 0, 0, w, w);
    ink.fillStyle = "rgba(10, 10, 14, 0.68)";
    ink.beginPath();
    ink.rect(0, 0, w, w);
    ink.arc(centre, centre, high * unit(), 0, 2 * Math.PI);
    ink.fill("evenodd");
    ink.beginPath();
    ink.arc(centre, centre, low * unit(), 0, 2 * Math.PI);
    ink.fill();
    for (const [name, f] of [["low", low], ["high", high]]) {
      const radius = f * unit();
      const thick = (name === active ? 2.5 : 1.75) * ratio;
      for (const [style, width] of [["rgba(0,0,0,0.8)", thick + 2 * ratio], [RING[name], thick]]) {
        ink.strokeStyle = style;
        ink.lineWidth = width;
        ink.setLineDash(name === "low" ? [6 * ratio, 3 * ratio] : []);
        ink.beginPath();
        ink.arc(centre, centre, radius, 0, 2 * Math.PI);
        ink.stroke();
      }
      ink.setLineDash([]);
      const way = name === "high" ? [SLANT, -SLANT] : [-SLANT, SLANT];
      const kept = 8 * ratio;
      const place = (share) => Math.min(w - kept, Math.max(kept, centre + share * radius));
      ink.beginPath();
      ink.arc(place(way[0]), place(way[1]), 6 * ratio, 0, 2 * Math.PI);
      ink.fillStyle = RING[name];
      ink.fill();
      ink.lineWidth = 2 * ratio;
      ink.strokeStyle = "rgba(0,0,0,0.8)";
      ink.stroke();
    }
    if (!mean) {
      const arm = Math.max(4 * ratio, w / shown.side / 2);
      ink.strokeStyle = "#ffffff";
      ink.lineWidth = 2 * ratio;
      ink.beginPath();
      for (const tilt of [1, -1]) {
        ink.moveTo(centre - arm, centre - tilt * arm);
        ink.lineTo(centre + arm, centre + tilt * arm);
      }
      ink.stroke();
    }
    canvas.setAttribute("aria-valuenow", String(active === "low" ? low : high));
    canvas.setAttribute("aria-valuetext", `${active} cutoff ${frequencyWords(active === "low" ? low : high)}`);
  }

  const pointed = (event) => {
    const box = canvas.getBoundingClientRect();
    const away = Math.hypot((event.clientX - box.left) / box.width - 0.5, (event.clientY - box.top) / box.height - 0.5);
    return Math.min(CORNER, (away * shown.side) / shown.modelSide);
  };

  canvas.addEventListener("pointerdown", (event) => {
    held = true;
    canvas.setPointerCapture(event.pointerId);
    active = nearerRing(pointed(event), band());
    wish({ [active]: pointed(event) }, event);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (held) wish({ [active]: pointed(event) }, event);
    else canvas.style.cursor = nearerRing(pointed(event), band()) === "low" ? "nwse-resize" : "nesw-resize";
  });
  for (const kind of ["pointerup", "pointercancel"]) canvas.addEventListener(kind, () => { held = false; });

  canvas.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const now = band()[active];
    const step = event.shiftKey ? 10 * STEP : STEP;
    const to = { ArrowRight: now + step, ArrowUp: now + step, ArrowLeft: now - step, ArrowDown: now - step, Home: 0, End: CORNER }[event.key];
    if (to !== undefined) wish({ [active]: to }, event);
    else if (event.key === "Enter" || event.key === " ") {
      active = active === "low" ? "high" : "low";
      wish({}, event);
    } else if (event.key === "m") flip(event);
    else return;
    event.preventDefault();
    event.stopPropagation();
  });

  return { build, resize, draw, get active() { return active; } };
}
