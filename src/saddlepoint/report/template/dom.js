"use strict";
// Data and helpers that all parts of the page use. Text from runs is only ever inserted as text.

const DATA = JSON.parse(document.getElementById("data").textContent);
const find = (id) => document.getElementById(id);

/** Create an element. Attributes whose value is a function are event handlers. */
function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(name, value);
    else if (value !== null && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

const read = {};
/** Return the contents of a data block, which is parsed on first use. */
function block(name) {
  if (!(name in read)) read[name] = JSON.parse(find(name).textContent);
  return read[name];
}
const curvesOf = (run) => block(`curves-${run}`);
const picturesOf = (run) => block(`pictures-${run}`); // URLs; the times are in DATA

/** Format a number with four significant digits. */
function short(value) {
  if (value === null || value === undefined) return "";
  if (Math.abs(value) >= 10000) return Math.round(value).toLocaleString("en-US");
  return String(Number(value.toPrecision(4)));
}
const whole = (value) => Math.round(value).toLocaleString("en-US");

const PALETTE = [
  "#4c78a8", "#f58518", "#54a24b", "#e45756", "#72b7b2", "#b279a2", "#d4a72c", "#ff9da6", "#9d755d", "#7f8c99",
  "#1f9ed1", "#a05195", "#2f8f6b", "#c44e52", "#8172b2", "#ccb974", "#64b5cd", "#e377c2", "#6b8e23", "#8c6d31",
];
const LABELS = DATA.groups.map((group) => group.label);
const groupOf = new Map(DATA.groups.flatMap((group, index) => group.runs.map((run) => [run, index])));
/** The colour of a setting, by its number. */
const colour = (group) => (group < PALETTE.length ? PALETTE[group] : `hsl(${(group * 137.5) % 360} 55% 50%)`);
const swatch = (group) => element("span", { class: "swatch", style: `background:${colour(group)}` });

/** The runs that charts and pictures show, and the functions that draw these. */
const selection = { runs: new Set(DATA.runs.keys()), listeners: [] };
let due = false;
function changed() {
  if (due) return;
  due = true;
  requestAnimationFrame(() => {
    due = false;
    for (const draw of selection.listeners) draw();
  });
}
function select(runs, on) {
  for (const run of runs) {
    if (on) selection.runs.add(run);
    else selection.runs.delete(run);
  }
  changed();
}
const selected = () => [...selection.runs].sort((a, b) => a - b);

/** The charts by name, as Vega views. */
const views = {};
/** Draw a Vega-Lite chart; a later call for the same element wins over an earlier one that is still drawing. */
async function chart(name, place, spec) {
  const style = getComputedStyle(document.documentElement);
  const [text, quiet, line] = ["--text", "--quiet", "--line"].map((key) => style.getPropertyValue(key).trim());
  const axis = { labelColor: quiet, titleColor: text, domainColor: line, tickColor: line, gridColor: line, gridOpacity: 0.6 };
  const config = { background: "transparent", view: { stroke: null }, axis, text: { color: text }, font: "system-ui, sans-serif" };
  const turn = (chart.turns[name] = (chart.turns[name] || 0) + 1);
  const holder = element("div", { style: "width:100%" });
  place.replaceChildren(holder);
  const made = await vegaEmbed(holder, { ...spec, config }, { actions: false, renderer: "canvas" });
  if (chart.turns[name] !== turn) {
    made.finalize();
    return null;
  }
  if (views[name]) views[name].finalize();
  views[name] = made.view;
  return made.view;
}
chart.turns = {};
