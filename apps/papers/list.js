const word = {};  // one object: gradio fires the first event's data again where one came while it was at work
const field = element.querySelector("input"), choice = element.querySelector("select");
const rows = [...element.querySelectorAll("li")], count = element.querySelector(".pa-count");
const sift = () => {
  const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
  let left = 0;
  for (const row of rows) {
    const wanted = words.every((word) => row.dataset.text.includes(word)) && (!choice.value || row.dataset.room === choice.value);
    row.hidden = !wanted;
    left += wanted;
  }
  count.textContent = left === 1 ? "1 paper" : left ? `${left} papers` : "no paper speaks of that";
};
const mark = () => element.querySelectorAll("[data-paper]").forEach((button) =>
  button.setAttribute("aria-pressed", String(button.dataset.paper === props.value)));
field.addEventListener("input", sift);
choice.addEventListener("change", sift);
element.addEventListener("click", (event) => {
  const button = event.target.closest("[data-paper]");
  if (button) trigger("picked", Object.assign(word, { paper: button.dataset.paper }));
});
sift();
mark();
watch("value", mark);
