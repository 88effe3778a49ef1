// The blocks as switches, and what the model says with all of them and without some.
import { make } from "./dom.js";
import { percent } from "./grid.js";
import { blocksIn, turnedOver } from "./smoothing_cosines.js";
import { effectLine } from "./smoothing_words.js";

// `leave(skip)` is called when the visitor wants other blocks left out: "1-3", or "" for none.
export function makeBlocks(place, leave) {
  const [switches, says, answers] = [".lk-switches", ".lk-effect", ".lk-answers"].map((name) => place.querySelector(name));
  let wanted = ""; // of presses that come faster than answers, each counts

  function build(head) {
    wanted = head.skipped.join("-");
    if (switches.children.length !== head.layers.length + 1) switches.replaceChildren(...head.layers.map(switchOf), everything());
    says.textContent = effectLine(head);
    const titles = head.skipped.length ? ["all blocks", "without"] : ["it says"];
    answers.replaceChildren(...head.answers.filter((top) => top.length).map((top, i) => listOf(titles[i], top)));
    mark(head);
  }

  function switchOf(_, block) {
    const button = make("button", "", String(block));
    button.type = "button";
    button.dataset.block = block;
    button.addEventListener("click", () => want(turnedOver(wanted, block)));
    return button;
  }

  function everything() {
    const button = make("button", "lk-all", "all back");
    button.type = "button";
    button.addEventListener("click", () => want(""));
    return button;
  }

  function want(skip) {
    wanted = skip;
    leave(skip);
    for (const button of switches.children) press(button);
  }

  function press(button) {
    if ("block" in button.dataset) button.setAttribute("aria-pressed", String(blocksIn(wanted).includes(Number(button.dataset.block))));
    else button.hidden = !wanted;
  }

  function mark({ layers }) {
    for (const button of switches.children) {
      press(button);
      const one = layers[button.dataset.block];
      if (!one) continue;
      button.disabled = !one.optional;
      button.title = one.optional ? one.name : `${one.name} changes the shape of what it is given: it cannot be left out`;
      button.setAttribute("aria-label", `leave out block ${button.dataset.block}`);
    }
  }
  return { build };
}

function listOf(title, top) {
  const list = make("ol", "lk-answer");
  list.setAttribute("aria-label", title);
  list.append(...top.map(([category, chance]) => {
    const item = make("li", "");
    const bar = make("i", "");
    bar.style.width = `${(100 * chance).toFixed(1)}%`;
    item.append(make("span", "", category), make("b", "", percent(chance)), bar);
    return item;
  }));
  const column = make("div", "");
  column.append(make("h2", "", title), list);
  return column;
}
