// A curtain before the photo: left of the pointer hangs the whole photo, right of it what passes.
const WAY = { ArrowLeft: (at) => at - 0.05, ArrowRight: (at) => at + 0.05, ArrowUp: () => 1, ArrowDown: () => 0, Home: () => 0, End: () => 1 };

// `moved()` is called whenever `at`, a share of the width from the left or null, has changed.
export function hangCurtain(photo, line, moved) {
  const curtain = { at: null };

  function to(at) {
    if (at === curtain.at) return;
    curtain.at = at === null ? null : Math.min(1, Math.max(0, at));
    line.hidden = at === null;
    line.style.left = `${100 * (curtain.at ?? 0)}%`;
    photo.setAttribute("aria-valuenow", String(Math.round(100 * (curtain.at ?? 0))));
    photo.setAttribute("aria-valuetext", at === null ? "what passes" : `the whole photo in the left ${Math.round(100 * curtain.at)} %, what passes beside it`);
    moved();
  }

  for (const kind of ["pointerdown", "pointermove"])
    photo.addEventListener(kind, (event) => {
      const box = photo.getBoundingClientRect();
      to((event.clientX - box.left) / box.width);
    });
  photo.addEventListener("pointerleave", () => to(null));
  photo.addEventListener("blur", () => to(null));
  photo.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key in WAY) to(WAY[event.key](curtain.at ?? 0.5));
    else if (event.key === "Escape") to(null);
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  return curtain;
}
