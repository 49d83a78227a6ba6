// Verdicts: a row for each comparison of two settings.

const FIRST_VERDICTS = 30;
let allVerdicts = false;

function drawVerdicts() {
  const wanted = DATA.verdicts.filter((verdict) => verdict.differs || !find("differences").checked);
  const listed = allVerdicts ? wanted : wanted.slice(0, FIRST_VERDICTS);
  const headings = ["", "interval", "Student 95 %", "bootstrap 95 %", "p (Holm)"];
  find("comparisons").tHead.replaceChildren(element("tr", {}, ...headings.map((text) => element("th", {}, text))));
  const scale = Math.max(...listed.flatMap(({ student }) => (student ? student.map(Math.abs) : [])), 0);
  find("comparisons").tBodies[0].replaceChildren(...listed.map((verdict) => verdictRow(verdict, scale)));
  const more = find("more-verdicts");
  more.hidden = listed.length === wanted.length;
  more.textContent = `Show all ${wanted.length} comparisons`;
}
function verdictRow(verdict, scale) {
  const bounds = (found) => (found ? `${short(found[0])} to ${short(found[1])}` : "");
  const p = verdict.corrected === null ? "" : verdict.corrected < 0.001 ? "< 0.001" : verdict.corrected.toFixed(3);
  const cells = [bounds(verdict.student), bounds(verdict.bootstrap), p].map((text) => element("td", {}, text));
  const sentence = element("td", {}, verdict.sentence);
  return element("tr", { class: verdict.differs ? "differs" : null }, sentence, element("td", {}, whiskers(verdict, scale)), ...cells);
}
/** Draw an interval around zero as a small SVG picture. */
function whiskers({ student, difference, differs }, scale) {
  if (!student || !scale) return "";
  const make = (tag, attributes) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    return made;
  };
  const x = (value) => 90 + (84 * value) / scale;
  const picture = make("svg", { class: "interval", viewBox: "0 0 180 18", role: "img", "aria-label": "interval" });
  const strong = differs ? "var(--accent)" : "var(--quiet)";
  picture.append(
    make("line", { x1: 90, x2: 90, y1: 0, y2: 18, stroke: "var(--line)" }),
    make("line", { x1: x(student[0]), x2: x(student[1]), y1: 9, y2: 9, stroke: strong, "stroke-width": 2 }),
    make("circle", { cx: x(difference), cy: 9, r: 4, fill: strong }),
  );
  return picture;
}
function startVerdicts() {
  const tested = DATA.verdicts.filter((verdict) => verdict.corrected !== null).length;
  const scores = [...new Set(DATA.columns.filter((column) => column.compared).map((column) => column.title))].join(", ");
  find("method").textContent = DATA.verdicts.length
    ? `Paired differences over common seeds in the ${DATA.value} value of ${scores}, with 95 % intervals. A difference is ` +
      `stated if the p-value of the paired t test, corrected by Holm's method for all ${tested} comparisons, is below 0.05.`
    : "There is nothing to compare: this takes two settings with scores of the same protocol.";
  find("differences").addEventListener("change", drawVerdicts);
  find("more-verdicts").addEventListener("click", () => {
    allVerdicts = true;
    drawVerdicts();
  });
  find("verdicts").querySelector(".controls").hidden = !DATA.verdicts.length;
  if (DATA.verdicts.length) drawVerdicts();
}
