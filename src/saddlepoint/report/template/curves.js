// Curves over images, updates or hours: of single runs, or the mean of each setting with a band.

const DENSE = 600; // from this number of points, they are drawn only as lines
const AXES = { images: "images seen", updates: "generator updates", hours: "hours of training" };

function seriesNames() {
  const names = new Set();
  for (const run of DATA.runs) for (const name of run.series) names.add(name);
  const metrics = DATA.columns.map((column) => column.metric).filter((name) => names.has(name));
  return [...new Set([...metrics, ...[...names].sort()])];
}
function points(series, axis) {
  return selected().flatMap((run) => {
    const curve = curvesOf(run)[series];
    if (!curve) return [];
    return curve.values.map((y, i) => ({ x: curve[axis][i], y, images: curve.images[i], s: DATA.runs[run].label, r: run, name: DATA.runs[run].name }));
  });
}
/** Interpolate a curve, whose x do not decrease, at a place within it; null outside. */
function at(curve, axis, x) {
  const xs = curve[axis];
  if (x < xs[0] || x > xs.at(-1)) return null;
  let [low, high] = [0, xs.length - 1];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (xs[middle] <= x) low = middle;
    else high = middle;
  }
  const share = xs[high] > xs[low] ? (x - xs[low]) / (xs[high] - xs[low]) : 0;
  return [curve.values[low] + share * (curve.values[high] - curve.values[low]), curve.images[low] + share * (curve.images[high] - curve.images[low])];
}
/** The mean value of each seed, since runs of the same seed are not independent. */
function bySeed(found) {
  const seeds = new Map();
  for (const { seed, y } of found) seeds.set(seed, [...(seeds.get(seed) || []), y]);
  return [...seeds.values()].map((values) => values.reduce((sum, y) => sum + y, 0) / values.length);
}
/** The mean over the seeds of each setting, with Student's 95 % interval from three seeds on, where at least half of the selected runs have values. */
function means(series, axis) {
  return DATA.groups.flatMap((group, index) => {
    const runs = group.runs.filter((run) => selection.runs.has(run) && curvesOf(run)[series]);
    const curves = runs.map((run) => ({ seed: DATA.runs[run].seed, curve: curvesOf(run)[series] }));
    let grid = [...new Set(curves.flatMap(({ curve }) => curve[axis]))].sort((a, b) => a - b);
    const step = Math.ceil(grid.length / 300);
    grid = grid.filter((_, i) => i % step === 0 || i === grid.length - 1);
    return grid.flatMap((x) => {
      const found = curves.flatMap(({ seed, curve }) => {
        const place = at(curve, axis, x);
        return place ? [{ seed, y: place[0], images: place[1] }] : [];
      });
      if (!found.length || found.length < curves.length / 2) return [];
      const values = bySeed(found);
      const n = values.length;
      const mean = values.reduce((sum, y) => sum + y, 0) / n;
      const variance = n > 2 ? values.reduce((sum, y) => sum + (y - mean) ** 2, 0) / (n - 1) : 0;
      const half = n > 2 ? DATA.t[n - 2] * Math.sqrt(variance / n) : 0;
      const images = found.reduce((sum, one) => sum + one.images, 0) / found.length;
      return [{ x, y: mean, lo: mean - half, hi: mean + half, images, s: group.label, r: `g${index}`, name: `${group.label}, ${found.length} runs` }];
    });
  });
}

async function drawCurves() {
  drawLegend();
  const [series, axis, folded] = [find("series").value, find("axis").value, find("bands").checked];
  const [logX, logY] = [find("log-x").checked, find("log-y").checked];
  if (!series) return find("curve-chart").replaceChildren("The runs have no history.");
  const all = folded ? means(series, axis) : points(series, axis);
  const values = all.filter((point) => (!logX || point.x > 0) && (!logY || point.y > 0));
  if (logY) for (const point of values) if (point.lo <= 0) point.lo = point.y;
  const hidden = all.length - values.length;
  find("curve-note").textContent =
    "Click on a curve to see the pictures of that moment." + (hidden ? ` ${hidden} points at or below 0 are not shown on logarithmic axes.` : "");
  const scale = (log) => (log ? { type: "log" } : { type: "linear", zero: false });
  const x = { field: "x", type: "quantitative", title: AXES[axis], scale: { ...scale(logX), nice: false }, axis: { tickCount: 8 } };
  const y = { field: "y", type: "quantitative", title: series, scale: scale(logY) };
  const color = { field: "s", type: "nominal", legend: null, scale: { domain: LABELS, range: LABELS.map((_, i) => colour(i)) } };
  const tooltip = [
    { field: "name", type: "nominal", title: "run" },
    { field: "images", type: "quantitative", format: ",.0f", title: "images" },
    { field: "y", type: "quantitative", format: ".5~g", title: series.replaceAll(/[^\w/ ]/g, " ") },
  ];
  const detail = { field: "r", type: "nominal" };
  const dense = values.length > DENSE;
  const layer = [
    { mark: { type: "line", strokeWidth: values.length > 20000 ? 1 : 1.8, interpolate: "linear" }, encoding: { x, y, color, detail } },
    // Invisible, larger points, which are easier to hit.
    { mark: { type: "point", filled: true, size: dense ? 90 : 180, opacity: 0, cursor: "pointer" }, encoding: { x, y, color, detail, tooltip } },
  ];
  if (!dense) layer.splice(1, 0, { mark: { type: "point", filled: true, size: 40 }, encoding: { x, y, color, detail } });
  if (folded) {
    const [y1, y2] = [{ ...y, field: "lo" }, { field: "hi" }];
    layer.unshift({ mark: { type: "area", opacity: 0.18 }, encoding: { x, y: y1, y2, color, detail } });
  }
  const real = DATA.columns.find((column) => column.metric === series && column.realValue !== null);
  if (real && (!logY || real.realValue > 0)) {
    const place = { datum: real.realValue, type: "quantitative" };
    const data = { values: [{}] };
    layer.push({ data, mark: { type: "rule", strokeDash: [5, 4], color: "#888" }, encoding: { y: place } });
    layer.push({ data, mark: { type: "text", align: "right", baseline: "bottom", dy: -3, color: "#888", text: "real images" }, encoding: { y: place, x: { value: "width" } } });
  }
  const view = await chart("curves", find("curve-chart"), { width: "container", height: 360, autosize: { type: "fit", contains: "padding" }, data: { values }, layer });
  if (view) view.addEventListener("click", (event, item) => item && item.datum && item.datum.r !== undefined && showMoment(item.datum));
}
function drawLegend() {
  const shown = DATA.groups.slice(0, 60);
  const chips = shown.map((group, index) => {
    const on = group.runs.some((run) => selection.runs.has(run));
    return element("button", { type: "button", "aria-pressed": String(on), click: () => select(group.runs, !on) }, swatch(index), group.label);
  });
  if (DATA.groups.length > shown.length) chips.push(element("span", { class: "note" }, `and ${DATA.groups.length - shown.length} more in the table`));
  find("legend").replaceChildren(...chips);
}
/** Show the samples of a run, or of all selected runs of a setting, at the moment of a point that was clicked. */
function showMoment(point) {
  const group = String(point.r).startsWith("g") ? DATA.groups[Number(String(point.r).slice(1))] : null;
  const runs = group ? group.runs.filter((run) => selection.runs.has(run)) : [point.r];
  const figures = runs.map((run) => figureAt(run, defaultKind(run), point.images)).filter(Boolean);
  find("moment").replaceChildren(...(figures.length ? figures : [element("p", { class: "note" }, "There are no pictures of this run.")]));
  setTime(point.images);
}
function startCurves() {
  const names = seriesNames();
  find("series").replaceChildren(...names.map((name) => element("option", { value: name }, name)));
  const compared = DATA.columns.find((column) => column.compared && names.includes(column.metric));
  if (compared) find("series").value = compared.metric;
  find("bands").checked = table.fold;
  for (const id of ["series", "axis", "log-x", "log-y", "bands"]) find(id).addEventListener("change", drawCurves);
  selection.listeners.push(drawCurves);
}
