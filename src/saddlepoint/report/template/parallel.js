// Parallel coordinates: an axis for each setting and score, a line for each selected run.

const MOST_AXES = 12;

function parallelAxes() {
  const axes = DATA.names.map((name, i) => ({ title: name, value: (run) => comparable(run.settings[i]) }));
  axes.push({ title: "seed", value: (run) => String(run.seed) });
  DATA.columns.forEach((column, i) => {
    if (table.shown.has(i)) axes.push({ title: column.title, value: (run) => (run.scores[i] ? run.scores[i][0] : null) });
  });
  axes.push({ title: "hours", value: (run) => run.hours });
  return axes.slice(0, MOST_AXES);
}
/** The place of each value on an axis from 0 to 1, and the labels of the axis. */
function scaled(values) {
  const known = values.filter((value) => value !== null);
  if (known.length && known.every((value) => typeof value === "number")) {
    const [low, high] = [Math.min(...known), Math.max(...known)];
    const labels = high > low ? [[0, short(low)], [0.5, short((low + high) / 2)], [1, short(high)]] : [[0.5, short(low)]];
    return { place: (value) => (high > low ? (value - low) / (high - low) : 0.5), labels };
  }
  const names = [...new Set(known.map(String))].sort((a, b) => a.localeCompare(b, undefined, { numeric: true }));
  const place = (value) => (names.length > 1 ? names.indexOf(String(value)) / (names.length - 1) : 0.5);
  const step = Math.ceil(names.length / 12);
  return { place, labels: names.filter((_, i) => i % step === 0).map((name) => [place(name), name.length > 18 ? `${name.slice(0, 17)}…` : name]) };
}
async function drawParallel() {
  const runs = selected();
  const axes = parallelAxes();
  const [values, labels] = [[], []];
  axes.forEach((axis, i) => {
    const found = runs.map((run) => axis.value(DATA.runs[run]));
    const { place, labels: marks } = scaled(found);
    runs.forEach((run, j) => {
      if (found[j] === null) return;
      values.push({ i, v: place(found[j]), r: run, s: DATA.runs[run].label, name: DATA.runs[run].name });
    });
    for (const [v, text] of marks) labels.push({ i, v, text });
  });
  const titles = axes.map((axis, i) => ({ i, text: axis.title.length > 24 ? `${axis.title.slice(0, 23)}…` : axis.title }));
  const x = { field: "i", type: "quantitative", axis: null, scale: { domain: [-0.3, axes.length - 0.5], nice: false } };
  const y = { field: "v", type: "quantitative", axis: null, scale: { domain: [-0.05, 1.15], nice: false } };
  const color = { field: "s", type: "nominal", legend: null, scale: { domain: LABELS, range: LABELS.map((_, i) => colour(i)) } };
  const tooltip = { field: "name", type: "nominal", title: "run" };
  const width = Math.max(find("parallel").clientWidth, axes.length * 110);
  const layer = [
    { data: { values: titles }, mark: { type: "rule", color: "#999", opacity: 0.6 }, encoding: { x, y: { datum: 0, type: "quantitative", scale: y.scale, axis: null }, y2: { datum: 1 } } },
    { data: { values }, mark: { type: "line", strokeWidth: 1.6, opacity: 0.75 }, encoding: { x, y, color, detail: { field: "r", type: "nominal" }, order: { field: "i", type: "quantitative" }, tooltip } },
    { data: { values: labels }, mark: { type: "text", align: "left", dx: 6, fontSize: 11 }, encoding: { x, y, text: { field: "text", type: "nominal" } } },
    { data: { values: titles }, mark: { type: "text", align: "left", fontWeight: "bold", fontSize: 12, dx: -4 }, encoding: { x, y: { datum: 1.12, type: "quantitative", scale: y.scale, axis: null }, text: { field: "text", type: "nominal" } } },
  ];
  const view = await chart("parallel", find("parallel-chart"), { width, height: 300, autosize: { type: "fit", contains: "padding" }, layer });
  if (view) brush(view, (i, v) => narrow(i, v, values, runs));
}
/** Let the user draw a rectangle on a chart; call `done` with its ranges on the two axes, in the units of their scales. */
function brush(view, done) {
  const canvas = find("parallel-chart").querySelector("canvas");
  const drawn = element("div", { class: "brush" });
  let start = null;
  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.x, event.clientY - box.y];
  };
  canvas.addEventListener("pointerdown", (event) => {
    start = place(event);
    canvas.setPointerCapture(event.pointerId);
    canvas.parentElement.append(drawn);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!start) return;
    const end = place(event);
    const [left, top] = [0, 1].map((k) => Math.min(start[k], end[k]));
    const [width, height] = [0, 1].map((k) => Math.abs(start[k] - end[k]));
    Object.assign(drawn.style, { left: `${left}px`, top: `${top}px`, width: `${width}px`, height: `${height}px` });
  });
  canvas.addEventListener("pointercancel", () => { // a finger that scrolls
    start = null;
    drawn.remove();
  });
  canvas.addEventListener("pointerup", (event) => {
    const [from, to] = [start, place(event)];
    start = null;
    drawn.remove();
    if (!from || Math.hypot(from[0] - to[0], from[1] - to[1]) < 4) return; // a click
    const origin = view.origin().map((value, k) => value + view.padding()[k ? "top" : "left"]);
    const [i, v] = ["x", "y"].map((axis, k) => [from, to].map((point) => view.scale(axis).invert(point[k] - origin[k])).sort((a, b) => a - b));
    done(i, v);
  });
}
/** Select the runs whose lines pass through a rectangle, given by its ranges, at every axis that it crosses. */
function narrow(i, v, values, runs) {
  const crossed = values.filter((value) => value.i >= i[0] && value.i <= i[1]);
  const outside = new Set(crossed.filter((value) => value.v < v[0] || value.v > v[1]).map((value) => value.r));
  const kept = new Set(crossed.map((value) => value.r).filter((run) => !outside.has(run)));
  if (kept.size) select(runs.filter((run) => !kept.has(run)), false);
}
function startParallel() {
  find("all-runs").addEventListener("click", () => select(DATA.runs.keys(), true));
  selection.listeners.push(drawParallel);
}
