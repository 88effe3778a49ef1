// The photo on its canvas, with maps painted over it and places outlined.
import { paint } from "./grid.js";

export const ASKING = "#3be4ff"; // a colour that no map has: the cell that asks
const LUMA = [0.2126, 0.7152, 0.0722];

export function makeStage(canvas) {
  const ink = canvas.getContext("2d", { alpha: false });
  const ground = document.createElement("canvas"); // the photo under the blend, kept between draws
  const cells = document.createElement("canvas"); // one pixel a cell
  const stage = { blend: 0.7, smooth: false, ready: false, load, resize, clear, lay, draw, fill, outline, frame };
  let picture = null;
  let grey = null;

  function load(source, done) {
    const coming = new Image();
    coming.onload = () => {
      picture = coming;
      grey = inGrey(coming);
      stage.ready = true;
      done();
    };
    coming.src = source;
  }

  // As many pixels as the screen shows, at most two a CSS pixel.
  function resize() {
    if (!picture) return;
    canvas.style.aspectRatio = `${picture.naturalWidth} / ${picture.naturalHeight}`;
    const width = Math.max(1, Math.round(canvas.clientWidth * Math.min(window.devicePixelRatio || 1, 2)));
    const height = Math.round((width * picture.naturalHeight) / picture.naturalWidth);
    if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
    drawGround();
  }

  // Hue must mean the map alone, so the photo gives up its colours as the blend rises.
  function drawGround() {
    [ground.width, ground.height] = [canvas.width, canvas.height];
    const brush = ground.getContext("2d", { alpha: false });
    brush.imageSmoothingQuality = "high";
    brush.drawImage(picture, 0, 0, ground.width, ground.height);
    brush.globalAlpha = Math.min(1, 2 * stage.blend);
    brush.drawImage(grey, 0, 0, ground.width, ground.height);
  }

  // The photo alone.
  function clear() {
    ink.globalAlpha = 1;
    ink.drawImage(ground, 0, 0);
  }

  // A map over it; `from` and `to` (shares of the width) keep it to a strip of the photo.
  function lay(map, colours, { from = 0, to = 1 } = {}) {
    const [h, w] = map.grid;
    ink.save();
    ink.beginPath();
    ink.rect(from * canvas.width, 0, (to - from) * canvas.width, canvas.height);
    ink.clip();
    ink.globalAlpha = stage.blend;
    ink.imageSmoothingEnabled = stage.smooth;
    ink.drawImage(paintCells(cells, map, colours), 0, 0, w, h, 0, 0, canvas.width, canvas.height);
    ink.restore();
  }

  // Photo, map, its best cell and the cell that asks. `map` may be null; `place` is a cell on the grid `asking`, or below 0.
  function draw(map, place, asking, { colours, pinned }) {
    clear();
    if (map) lay(map, colours);
    if (map && map.best >= 0 && map.peak > 0) outline(map.best, map.grid, { dash: [3, 3], thick: 1.25 });
    if (place >= 0) outline(place, asking, { colour: ASKING, thick: pinned ? 3 : 2 });
  }

  // A box [top, left, bottom, right], each a share of the photo, in one colour.
  function fill([top, left, bottom, right], colour) {
    ink.globalAlpha = 1;
    ink.fillStyle = colour;
    ink.fillRect(left * canvas.width, top * canvas.height, (right - left) * canvas.width, (bottom - top) * canvas.height);
  }

  function outline(cell, [h, w], look) {
    const [row, column] = [Math.floor(cell / w), cell % w];
    frame([row / h, column / w, (row + 1) / h, (column + 1) / w], look);
  }

  // A box given as [top, left, bottom, right], each a share of the photo.
  function frame([top, left, bottom, right], { colour = "#ffffff", thick = 2, dash = [] } = {}) {
    const ratio = canvas.width / canvas.clientWidth || 1;
    for (const [style, extra] of [["rgba(0,0,0,0.75)", 2], [colour, 0]]) {
      ink.strokeStyle = style;
      ink.lineWidth = (thick + extra) * ratio;
      ink.setLineDash(extra ? [] : dash.map((n) => n * ratio));
      ink.strokeRect(left * canvas.width, top * canvas.height, (right - left) * canvas.width, (bottom - top) * canvas.height);
    }
  }
  return stage;
}

// A map as a small canvas, one pixel a cell, in the 256 `colours`.
export function paintCells(canvas, map, colours) {
  const [h, w] = map.grid;
  if (canvas.width !== w || canvas.height !== h) [canvas.width, canvas.height] = [w, h];
  const brush = canvas.getContext("2d", { willReadFrequently: true });
  const image = brush.createImageData(w, h);
  paint(map, colours, image.data);
  brush.putImageData(image, 0, 0);
  return canvas;
}

// The colours from lowest to most, on a canvas of 256 x 1.
export function paintScale(canvas, colours) {
  const ramp = { grid: [1, 256], shares: Float32Array.from({ length: 256 }, (_, i) => i), peak: 255 };
  paintCells(canvas, ramp, colours);
}

function inGrey(source) {
  const copy = document.createElement("canvas");
  [copy.width, copy.height] = [source.naturalWidth, source.naturalHeight];
  const brush = copy.getContext("2d", { willReadFrequently: true });
  brush.drawImage(source, 0, 0);
  const image = brush.getImageData(0, 0, copy.width, copy.height);
  for (let i = 0; i < image.data.length; i += 4) {
    const light = LUMA[0] * image.data[i] + LUMA[1] * image.data[i + 1] + LUMA[2] * image.data[i + 2];
    image.data.fill(light, i, i + 3);
  }
  brush.putImageData(image, 0, 0);
  return copy;
}
