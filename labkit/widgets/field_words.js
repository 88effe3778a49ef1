// What the view of fields says, in words and numbers.
import { percent } from "./grid.js";

const SIDES = ([rows, columns]) => (rows === columns ? `${rows} px` : `${rows} × ${columns} px`);

// What a unit can see at most: "63 px", "everything", "beyond the picture".
export function mostOf({ kind, theory }) {
  if (theory) return SIDES(theory);
  return kind === "everything" ? "everything" : "beyond the picture";
}

// [name, value, what it means] of a layer's numbers. `parts` are the shares whose squares were measured, `part` the chosen one.
export function numbersOfLayer(layer, parts, part) {
  const held = percent(parts[part]);
  const rows = [["can see at most", mostOf(layer), "the side of the theoretical square: solid line"]];
  if (!layer.sides) return [...rows, [`${held} of the heat in`, "…", "on its way"]];
  if (layer.sides[part] === null) return [...rows, [`${held} of the heat in`, "no heat", "no pixel of this photo moves this unit"]];
  rows.push([`${held} of the heat in`, `${layer.sides[part]} px`, "the side of the smallest square around its middle that holds it: dashed line"]);
  rows.push(["of it in its own cell", percent(layer.own), "the share of the heat that lies in picture / grid under the unit"]);
  rows.push(["spread σ", `${((layer.width[0] + layer.width[1]) / 2).toFixed(1)} px`, "standard deviation of the heat, mean of rows and columns"]);
  return rows;
}

// The line under the photos.
export function fieldLine(sides, parts, part) {
  return sides.map(({ title, layer }) => {
    const [row, column] = layer.unit;
    const seen = !layer.sides ? "its heat is on its way" : layer.sides[part] === null ? "nothing moves it"
      : `${percent(parts[part])} of its heat within ${layer.sides[part]} px`;
    const most = layer.kind === "everything" ? "can see everything" : layer.theory ? `can see ${mostOf(layer)}` : "can see beyond the picture";
    return `${title}, ${layer.name}: unit row ${row}, column ${column} ${most}; ${seen}.`;
  }).join(" ");
}

// A share of the picture's side as a tick of the chart: 6 %, 50 %, 4 ×.
export const tickOf = (share) => (share > 1 ? `${share} ×` : `${Number((100 * share).toPrecision(2))} %`);
