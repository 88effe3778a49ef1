const valueOf = (input) => input.type === "checkbox" ? input.checked : input.type === "range" ? Number(input.value) : input.value;
const textOf = (input) => input.type === "checkbox" ? (input.checked ? "1" : "0") : input.value;
const knobs = (form) => [...form.elements].filter((input) => input.name);
element.addEventListener("input", (event) => {
  const form = event.target.closest("form");
  if (!form) return;
  if (event.target.type === "range") event.target.nextElementSibling.textContent = event.target.value;
  const said = new URLSearchParams({ paper: form.dataset.paper });
  for (const input of knobs(form)) if (textOf(input) !== input.dataset.default) said.set(input.name, textOf(input));
  history.replaceState(null, "", `?${said}`);
});
element.addEventListener("submit", (event) => {
  event.preventDefault();
  const form = event.target;
  trigger("asked", {
    paper: form.dataset.paper,
    knobs: Object.fromEntries(knobs(form).map((input) => [input.name, valueOf(input)])),
  });
});
