// The wall: a table that keeps what it has. Only what has changed is written, so that focus and place stay while cells come in.
const table = element.querySelector("table"), host = element.querySelector(".cm-wall");
const written = new WeakMap();
const write = (node, html) => {
  if (written.get(node) === html) return;
  written.set(node, html);
  node.innerHTML = html;
};
const child = (parent, index, tag, made = () => {}) => {
  let node = parent.children[index];
  if (!node) {
    node = parent.appendChild(document.createElement(tag));
    made(node);
  }
  return node;
};
const trim = (parent, count) => { while (parent.children.length > count) parent.lastChild.remove(); };
const show = () => {
  const wall = props.value;
  if (!wall) return;
  host.dataset.open = wall.open;
  host.dataset.columns = wall.columns.length;
  host.style.setProperty("--columns", wall.columns.length);
  write(table.caption, wall.caption);
  const names = table.tHead.rows[0];
  wall.columns.forEach((html, i) => write(child(names, i, "th", (th) => th.setAttribute("scope", "col")), html));
  trim(names, wall.columns.length);
  wall.rows.forEach((row, i) => {
    const body = table.tBodies[i] ?? table.appendChild(document.createElement("tbody"));
    body.dataset.row = row.id;
    const head = child(child(body, 0, "tr"), 0, "th", (th) => th.setAttribute("scope", "rowgroup"));
    head.colSpan = wall.columns.length;
    write(head, row.head);
    const cells = child(body, 1, "tr");
    row.cells.forEach((html, k) => write(child(cells, k, "td"), html));
    trim(cells, row.cells.length);
  });
  while (table.tBodies.length > wall.rows.length) table.tBodies[table.tBodies.length - 1].remove();
};
host.view = {
  // The desk tells every view when Python is at work.
  busy: (on) => host.setAttribute("aria-busy", String(on)),
  // The menu of models changes by the visitor's hand and by ours, and does not say by whose: what stands is no wish.
  wish: (models) => {
    if (props.value && models.join() !== props.value.beside.join()) trigger("wished", { models });
  },
};
host.view.busy(true);
show();
watch("value", show);
