// The matrix of cosines as a picture to point at: rows and columns are tokens.
import { step } from "./grid.js";
import { MOVES } from "./hands.js";
import { ASKING, paintCells } from "./stage.js";

export const OTHER = "#ffd84a"; // the second patch of a pair

// `size()` is how many tokens there are, `where()` the marked [row, column] (column -1: none).
// `point(row, column, event)` is called for a pair under the pointer or the keys, `leave(event)` when there is none, `press(event)` for a click.
export function makeMatrix(canvas, { size, where, point, leave, press }) {
  const ink = canvas.getContext("2d", { alpha: false });
  const cells = document.createElement("canvas");

  function resize() {
    const side = Math.max(1, Math.round(canvas.clientWidth * Math.min(window.devicePixelRatio || 1, 2)));
    if (canvas.width !== side) canvas.width = canvas.height = side;
  }

  function draw(matrix, colours, range) {
    const n = size();
    ink.imageSmoothingEnabled = n > canvas.width;
    ink.drawImage(paintCells(cells, { grid: [n, n], shares: matrix, peak: range, low: -range }, colours), 0, 0, canvas.width, canvas.height);
    const [row, column] = where();
    if (column >= 0) mark([column, 0, 1, n], OTHER);
    mark([0, row, n, 1], ASKING);
  }

  // A box of [left, top, width, height] in cells, outlined from outside so that what is in it is seen.
  function mark([left, top, width, height], colour) {
    const cell = canvas.width / size();
    const ratio = canvas.width / canvas.clientWidth || 1;
    for (const [style, thick] of [["rgba(0,0,0,0.8)", 4], [colour, 2]]) {
      ink.strokeStyle = style;
      ink.lineWidth = thick * ratio;
      ink.strokeRect(left * cell - ratio, top * cell - ratio, width * cell + 2 * ratio, height * cell + 2 * ratio);
    }
  }

  function pointed(event) {
    const box = canvas.getBoundingClientRect();
    const along = (at, start, length) => Math.min(size() - 1, Math.max(0, Math.floor(((at - start) / length) * size())));
    return [along(event.clientY, box.top, box.height), along(event.clientX, box.left, box.width)];
  }

  canvas.addEventListener("pointermove", (event) => point(...pointed(event), event));
  canvas.addEventListener("pointerleave", leave);
  canvas.addEventListener("pointerdown", (event) => {
    point(...pointed(event), event);
    press(event);
  });
  canvas.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const n = size();
    const [row, column] = where();
    if (event.key in MOVES) {
      const pair = step(row * n + Math.max(column, 0), MOVES[event.key], [n, n]);
      point(Math.floor(pair / n), pair % n, event);
    } else if (event.key === "Enter" || event.key === " ") press(event);
    else if (event.key === "Escape") leave(event);
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  return { resize, draw };
}
