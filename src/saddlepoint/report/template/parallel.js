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
    { data: { values }, params: [{ name: "brush", select: { type: "interval", encodings: ["x", "y"] } }], mark: { type: "line", strokeWidth: 1.6, opacity: 0.75 }, encoding: { x, y, color, detail: { field: "r", type: "nominal" }, order: { field: "i", type: "quantitative" }, tooltip } },
    { data: { values: labels }, mark: { type: "text", align: "left", dx: 6, fontSize: 11 }, encoding: { x, y, text: { field: "text", type: "nominal" } } },
    { data: { values: titles }, mark: { type: "text", align: "left", fontWeight: "bold", fontSize: 12, dx: -4 }, encoding: { x, y: { datum: 1.12, type: "quantitative", scale: y.scale, axis: null }, text: { field: "text", type: "nominal" } } },
  ];
  const view = await chart("parallel", find("parallel-chart"), { width, height: 300, autosize: { type: "fit", contains: "padding" }, layer });
  if (view) view.addEventListener("pointerup", () => narrow(view.signal("brush"), values, runs));
}
/** Select the runs whose lines pass through a rectangle at every axis that it crosses. */
function narrow(brush, values, runs) {
  if (!brush.i || !brush.v) return; // a click
  const inside = (value, [a, b]) => value >= Math.min(a, b) && value <= Math.max(a, b);
  const crossed = values.filter((value) => inside(value.i, brush.i));
  const outside = new Set(crossed.filter((value) => !inside(value.v, brush.v)).map((value) => value.r));
  const kept = new Set(crossed.map((value) => value.r).filter((run) => !outside.has(run)));
  if (kept.size) select(runs.filter((run) => !kept.has(run)), false);
}
function startParallel() {
  find("all-runs").addEventListener("click", () => select(DATA.runs.keys(), true));
  selection.listeners.push(drawParallel);
}
