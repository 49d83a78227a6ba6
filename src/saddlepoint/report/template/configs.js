// The settings in which two runs differ.

function configOf(run) {
  return { ...DATA.config, ...DATA.runs[run].config };
}
function drawDiff() {
  const [left, right] = ["left", "right"].map((id) => Number(find(id).value));
  const [a, b] = [configOf(left), configOf(right)];
  const keys = [...new Set([...Object.keys(a), ...Object.keys(b)])].filter((key) => a[key] !== b[key]).sort();
  const head = ["setting", DATA.runs[left].name, DATA.runs[right].name].map((text) => element("th", {}, text));
  const rows = keys.map((key) => element("tr", {}, ...[key, a[key] ?? "—", b[key] ?? "—"].map((text) => element("td", {}, element("code", {}, text)))));
  if (!rows.length) rows.push(element("tr", {}, element("td", { colspan: 3 }, "All their settings are equal.")));
  find("diff").tHead.replaceChildren(element("tr", {}, ...head));
  find("diff").tBodies[0].replaceChildren(...rows);
}
function startConfigs() {
  for (const id of ["left", "right"]) {
    find(id).replaceChildren(...DATA.runs.map((run, i) => element("option", { value: String(i) }, run.name)));
    find(id).addEventListener("change", drawDiff);
  }
  const other = DATA.groups.length > 1 ? DATA.groups[1].runs[0] : Math.min(1, DATA.runs.length - 1);
  find("right").value = String(other);
  drawDiff();
}
