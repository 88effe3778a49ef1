// Hands on a photo: pointer and keys, told as wishes { query } and { pinned }.
import { cellAt, middle, step } from "./grid.js";

export const MOVES = { ArrowUp: "up", ArrowDown: "down", ArrowLeft: "left", ArrowRight: "right", Home: "first", End: "last" };

// `view` is a frame (frame.js) whose state has `query` and `pinned`; `grid()` is the grid the hands are on.
// `more(key)` may know further keys and answers a wish, or null.
export function layHands(photo, view, { grid, more = () => null }) {
  const { state, change } = view;
  const pointed = (event) => {
    const box = photo.getBoundingClientRect();
    return cellAt((event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height, grid());
  };
  let down = null;
  let frees = false; // this press began on the pinned cell: if it ends there, it frees it

  photo.addEventListener("pointermove", (event) => {
    if (!view.ready || (state.pinned && down === null)) return;
    const cell = pointed(event);
    if (cell !== state.query) change({ query: cell }, { later: true, event });
  });
  photo.addEventListener("pointerdown", (event) => {
    if (!view.ready) return;
    photo.setPointerCapture(event.pointerId);
    down = pointed(event);
    frees = state.pinned && down === state.query;
    change({ query: down }, { later: true, event });
  });
  photo.addEventListener("pointerup", (event) => {
    if (down === null) return;
    const dragged = pointed(event) !== down;
    down = null;
    change({ pinned: dragged ? state.pinned : !frees }, { event });
  });
  photo.addEventListener("pointercancel", () => { down = null; });

  photo.addEventListener("keydown", (event) => {
    if (!view.ready || event.ctrlKey || event.metaKey || event.altKey) return;
    const wish = wished(event.key);
    if (!wish) return;
    event.preventDefault();
    event.stopPropagation();
    change(wish, { later: event.key in MOVES, event });
  });

  function wished(key) {
    if (key in MOVES) return { query: state.query < 0 ? middle(grid()) : step(state.query, MOVES[key], grid()) };
    switch (key) {
      case "Enter": case " ": return { pinned: !state.pinned };
      case "Escape": return { pinned: false };
      default: return more(key);
    }
  }
}
