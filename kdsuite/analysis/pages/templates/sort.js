// Tables sort by a click, or by Enter or Space, on a column's head: up, down, and back to the order of the page.

const collator = new Intl.Collator("en", { numeric: true });

// the first number of a text such as "+2.7", "< 0.001", "1,064" or "55.0 ± 1.2"
function number(text) {
  const found = text.replaceAll(",", "").replaceAll("−", "-").match(/^[<\s]*([+-]?\d+(\.\d+)?)/);
  return found ? parseFloat(found[1]) : NaN;
}

// Return the rows as arrays of cells, one a column; a cell that stands over several rows is copied into each.
function unrolled(body) {
  const over = []; // by column: how many further rows the cell stands over, and the cell
  return [...body.rows].map((row) => {
    const cells = [...row.cells];
    const whole = [];
    while (cells.length || over[whole.length]?.left) {
      const above = over[whole.length];
      if (above?.left) {
        above.left--;
        whole.push(above.cell.cloneNode(true));
      } else {
        const cell = cells.shift();
        over[whole.length] = { left: cell.rowSpan - 1, cell };
        whole.push(cell.cloneNode(true));
      }
      whole.at(-1).rowSpan = 1;
      if (whole.at(-1).scope === "rowgroup") whole.at(-1).scope = "row";
    }
    return { row: row.cloneNode(false), whole };
  });
}

function sorted(body, column, direction) {
  const rows = unrolled(body).map((each) => {
    const cell = each.whole[column];
    each.row.append(...each.whole);
    return { row: each.row, text: cell.dataset.value ?? cell.textContent.trim() };
  });
  const empty = ({ text }) => text === "—" || text === "";
  const numeric = rows.every((each) => empty(each) || !isNaN(number(each.text)));
  const compare = numeric ? (a, b) => number(a.text) - number(b.text) : (a, b) => collator.compare(a.text, b.text);
  // what has no value, and totals, stay last either way
  const last = (each) => (each.row.classList.contains("total") ? 2 : empty(each) ? 1 : 0);
  rows.sort((a, b) => last(a) - last(b) || (last(a) ? 0 : direction * compare(a, b)));
  const made = body.cloneNode(false);
  made.append(...rows.map(({ row }) => row));
  return made;
}

for (const table of document.querySelectorAll(".scroll > table")) {
  const body = table.tBodies[0]; // in the order of the page
  const [upper, lower = []] = [...table.tHead.rows].map((row) => [...row.cells]);
  const heads = upper.flatMap((head) => (head.scope === "colgroup" ? lower.splice(0, head.colSpan) : [head]));
  if (body.rows.length < 2) continue;
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const next = { null: "ascending", ascending: "descending" }[head.ariaSort];
      heads.forEach((each) => each.removeAttribute("aria-sort"));
      if (next) head.ariaSort = next;
      table.tBodies[0].replaceWith(next ? sorted(body, column, next === "ascending" ? 1 : -1) : body);
    });
  });
}
