// The table of runs: sortable, filterable, folded by setting.

const table = {
  fold: DATA.groups.some((group) => group.runs.length > 1),
  open: new Set(), // settings whose runs are shown
  details: new Set(), // runs whose command is shown
  sort: { key: null, down: false },
  shown: new Set(),
};
{
  const compared = DATA.columns.flatMap((column, i) => (column.compared ? [i] : []));
  const others = DATA.columns.flatMap((column, i) => (column.compared ? [] : [i]));
  table.shown = new Set([...compared, ...others.slice(0, Math.max(0, 3 - compared.length))]);
}

/** The columns: heading, value of a run, value of a setting (for sorting), and how to show both. */
function tableColumns() {
  const columns = DATA.names.length
    ? DATA.names.map((name, i) => ({ key: `setting:${name}`, title: name, run: (run) => comparable(run.settings[i]) }))
    : [{ key: "label", title: "run", run: (run) => run.label }];
  columns.push({ key: "seed", title: "seed", number: true, run: (run) => run.seed, group: (group) => group.runs.length });
  columns.at(-1).showGroup = (group) => `${new Set(group.runs.map((i) => DATA.runs[i].seed)).size} seeds`;
  for (const index of [...table.shown].sort((a, b) => a - b)) {
    const { title, real, protocol } = DATA.columns[index];
    for (const [value, place] of [["last", 0], ["best", 2]]) {
      columns.push({
        key: `${index}:${value}`, title: `${title} ${value}`, number: true, score: index, value,
        note: real ? `real ${real}` : "", hint: protocol,
        run: (run) => (run.scores[index] ? run.scores[index][place] : null),
        group: (group) => (group[value][index] ? group[value][index][0] : null),
        showGroup: (group) => interval(group[value][index]),
        hintRun: (run) => (run.scores[index] ? `at ${whole(run.scores[index][place + 1] || 0)} images` : ""),
      });
    }
  }
  const mean = (field) => (group) => group.runs.reduce((sum, run) => sum + DATA.runs[run][field], 0) / group.runs.length;
  columns.push({ key: "images", title: "images", number: true, run: (run) => run.images, show: whole, group: mean("images") });
  columns.push({ key: "hours", title: "hours", number: true, run: (run) => run.hours, group: mean("hours") });
  columns.push({ key: "device", title: "device", run: (run) => run.device });
  return columns;
}
/** Numbers compare as numbers, other values as text. */
function comparable(value) {
  return value !== "" && Number.isFinite(Number(value)) ? Number(value) : value;
}
function interval(found) {
  if (!found) return "";
  const [mean, half] = found;
  return half === null ? short(mean) : `${short(mean)} ± ${short(Number(half.toPrecision(2)))}`;
}
function ordered(items, value) {
  const sign = table.sort.down ? -1 : 1;
  const empty = (x) => x === null || x === undefined || x === "";
  return items
    .map((item, i) => [value(item), i, item])
    .sort(([a, i], [b, j]) => {
      if (empty(a) || empty(b)) return empty(a) - empty(b) || i - j;
      const order = typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
      return sign * order || i - j;
    })
    .map(([, , item]) => item);
}
function matches(run) {
  const words = find("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
  const settings = DATA.names.map((name, i) => `${name}=${run.settings[i]}`);
  const text = [run.name, run.path, run.device, ...settings, `seed=${run.seed}`].join(" ").toLowerCase();
  return words.every((word) => text.includes(word));
}

function drawTable() {
  const columns = tableColumns();
  const sorter = columns.find((column) => column.key === table.sort.key);
  find("table").tHead.replaceChildren(element("tr", {}, element("th"), ...columns.map(heading)));
  const best = bests(columns);
  const groups = DATA.groups
    .map((group, index) => ({ group, index, runs: group.runs.filter((i) => matches(DATA.runs[i])) }))
    .filter(({ runs }) => runs.length);
  const rows = [];
  if (table.fold) {
    const value = sorter && (sorter.group || ((group) => sorter.run(DATA.runs[group.runs[0]])));
    for (const entry of sorter ? ordered(groups, ({ group }) => value(group)) : groups) {
      rows.push(groupRow(entry, columns, best));
      const inside = sorter ? ordered(entry.runs, (i) => sorter.run(DATA.runs[i])) : entry.runs;
      if (table.open.has(entry.index)) for (const i of inside) rows.push(...runRows(i, columns, "child", {}));
    }
  } else {
    const all = groups.flatMap(({ runs }) => runs);
    for (const i of sorter ? ordered(all, (run) => sorter.run(DATA.runs[run])) : all) rows.push(...runRows(i, columns, "run", best));
  }
  if (!rows.length) rows.push(element("tr", {}, element("td", { colspan: columns.length + 1 }, "No run matches the filter.")));
  find("table").tBodies[0].replaceChildren(...rows);
}
function heading(column) {
  const active = table.sort.key === column.key;
  const sort = () => {
    table.sort = { key: column.key, down: active && !table.sort.down };
    drawTable();
  };
  const arrow = active ? (table.sort.down ? " ↓" : " ↑") : "";
  return element(
    "th",
    {
      class: column.number ? "number" : null, title: column.hint || null, "data-key": column.key,
      "aria-sort": active ? (table.sort.down ? "descending" : "ascending") : null,
    },
    element("button", { type: "button", click: sort }, column.title + arrow),
    column.note ? element("small", {}, column.note) : null,
  );
}
/** The best value of each score column, over settings if folded, else over runs. */
function bests(columns) {
  const found = {};
  for (const column of columns.filter((each) => each.score !== undefined)) {
    const lower = DATA.columns[column.score].lower;
    const values = table.fold ? DATA.groups.map(column.group) : DATA.runs.map(column.run);
    const known = values.filter((value) => value !== null);
    if (lower !== null && known.length > 1) found[column.key] = (lower ? Math.min : Math.max)(...known);
  }
  return found;
}
function cell(column, value, text, best, hint) {
  const isBest = value !== null && best[column.key] === value;
  return element("td", { class: [column.number ? "number" : "", isBest ? "best" : ""].join(" ").trim() || null, title: hint || null }, text);
}
function tick(runs, name) {
  const box = element("input", { type: "checkbox", "aria-label": `show ${name}`, change: () => select(runs, box.checked) });
  const on = runs.filter((run) => selection.runs.has(run)).length;
  box.checked = on === runs.length;
  box.indeterminate = on > 0 && on < runs.length;
  return element("td", {}, box);
}
function groupRow({ group, index, runs }, columns, best) {
  const open = table.open.has(index);
  const toggle = () => {
    if (!table.open.delete(index)) table.open.add(index);
    drawTable();
  };
  const cells = columns.map((column, i) => {
    const value = column.group ? column.group(group) : column.run(DATA.runs[group.runs[0]]);
    const several = !column.group && new Set(group.runs.map((run) => column.run(DATA.runs[run]))).size > 1;
    const text = several ? "various" : column.showGroup ? column.showGroup(group) : column.show ? column.show(value) : shown(value);
    const made = cell(column, value, text, best);
    if (i === 0) {
      const label = open ? "hide its runs" : "show its runs";
      made.prepend(element("button", { type: "button", class: "fold", "aria-expanded": String(open), "aria-label": label, click: toggle }, open ? "▾" : "▸"), swatch(index));
      if (group.mark) made.append(" ", element("span", { class: "mark" }, `⚠ ${group.mark}`));
    }
    return made;
  });
  return element("tr", { class: "group", "data-label": group.label }, tick(runs, group.label), ...cells);
}
const shown = (value) => (typeof value === "number" ? short(value) : value === null ? "" : String(value));
function runRows(i, columns, kind, best) {
  const run = DATA.runs[i];
  const toggle = () => {
    if (!table.details.delete(i)) table.details.add(i);
    drawTable();
  };
  const cells = columns.map((column, place) => {
    const value = column.run(run);
    const text = column.show ? column.show(value) : shown(value);
    const made = cell(column, value, text, best, column.hintRun && column.hintRun(run));
    if (place === 0) {
      if (kind === "run") made.prepend(swatch(groupOf.get(i)));
      made.append(" ", element("button", { type: "button", class: "link", "aria-expanded": String(table.details.has(i)), click: toggle }, "details"));
      if (!run.finished) made.append(" ", element("span", { class: "mark" }, "unfinished"));
    }
    return made;
  });
  const rows = [element("tr", { class: kind, "data-run": String(i) }, tick([i], run.name), ...cells)];
  if (table.details.has(i)) rows.push(detailsRow(i, run, columns.length + 1));
  return rows;
}
function detailsRow(i, run, width) {
  const compare = () => {
    find("right").value = String(i);
    drawDiff();
    find("configs").scrollIntoView();
  };
  return element(
    "tr",
    { class: "details" },
    element(
      "td",
      { colspan: width },
      element("div", {}, "Folder: ", element("code", {}, run.path)),
      element("div", {}, run.command ? "Repeat it: " : "The command cannot be told from its files.", run.command ? element("code", { class: "command" }, run.command) : null),
      element("button", { type: "button", class: "link", click: compare }, "compare its settings"),
    ),
  );
}

function startTable() {
  find("fold").checked = table.fold;
  find("fold").addEventListener("change", (event) => {
    table.fold = event.target.checked;
    drawTable();
  });
  find("filter").addEventListener("input", drawTable);
  find("all").addEventListener("click", () => select(DATA.runs.keys(), true));
  find("none").addEventListener("click", () => select(DATA.runs.keys(), false));
  const boxes = DATA.columns.map((column, i) => {
    const box = element("input", {
      type: "checkbox",
      change: () => {
        if (!table.shown.delete(i)) table.shown.add(i);
        drawTable();
      },
    });
    box.checked = table.shown.has(i);
    return element("label", { title: column.protocol }, box, ` ${column.title}`);
  });
  find("columns").hidden = !boxes.length;
  find("columns").querySelector("div").replaceChildren(...boxes);
  selection.listeners.push(drawTable);
}
