// Pictures of the selected runs side by side, with one slider over training.

const FIRST_PICTURES = 24;
const PLOTS = /^(duplicate_curve|class_|closest_pairs|theory|modes|losses)/; // wide, with text
let allPictures = false;

/** The kind of picture that is shown first. */
function defaultKind(run) {
  const kinds = Object.keys(DATA.runs[run].pictures);
  return kinds.includes("samples") ? "samples" : kinds.find((kind) => !PLOTS.test(kind)) || kinds[0];
}
/** The moments at which any of the runs has a picture. */
function moments(kind) {
  const times = selected().flatMap((run) => (DATA.runs[run].pictures[kind] || []).map((images) => images ?? 0));
  return [...new Set(times)].sort((a, b) => a - b);
}
/** A run's picture at a moment: the latest that had been made by then, or the first. */
function figureAt(run, kind, images) {
  const { name, pictures } = DATA.runs[run];
  const times = pictures[kind];
  if (!times) return null;
  const index = Math.max(0, times.findLastIndex((seen) => seen === null || seen <= images));
  const seen = times[index];
  const image = element("img", { alt: `${kind} of ${name}`, decoding: "async", class: PLOTS.test(kind) ? "smooth" : null });
  image.src = picturesOf(run)[kind][index];
  const when = seen === null ? "" : `at ${whole(seen)} images`;
  return element("figure", { "data-run": String(run) }, image, element("figcaption", {}, swatch(groupOf.get(run)), `${name} `, element("small", {}, when)));
}
function drawPictures() {
  const kind = find("kind").value;
  const times = moments(kind);
  const slider = find("slider");
  const before = slider.dataset.images === undefined ? Infinity : Number(slider.dataset.images);
  slider.max = String(Math.max(0, times.length - 1));
  slider.value = String(Math.max(0, times.findLastIndex((time) => time <= before)));
  slider.disabled = times.length < 2;
  drawGallery();
}
function drawGallery() {
  const kind = find("kind").value;
  const images = moments(kind)[Number(find("slider").value)] ?? 0;
  find("time").textContent = `at ${whole(images)} images`;
  const runs = selected().filter((run) => DATA.runs[run].pictures[kind]);
  const listed = allPictures ? runs : runs.slice(0, FIRST_PICTURES);
  const gallery = find("gallery");
  gallery.classList.toggle("wide", PLOTS.test(kind));
  gallery.replaceChildren(...listed.map((run) => figureAt(run, kind, images)));
  if (!listed.length) gallery.replaceChildren(element("p", { class: "note" }, "The selected runs have no such pictures."));
  find("more-pictures").hidden = listed.length === runs.length;
  find("more-pictures").textContent = `Show all ${runs.length} runs`;
}
/** Move the slider to the last pictures at or before a number of images. */
function setTime(images) {
  find("slider").dataset.images = String(images);
  drawPictures();
}
function startPictures() {
  const kinds = [...new Set(DATA.runs.flatMap((run) => Object.keys(run.pictures)))];
  kinds.sort((a, b) => PLOTS.test(a) - PLOTS.test(b) || (b === "samples") - (a === "samples") || a.localeCompare(b));
  find("kind").replaceChildren(...kinds.map((kind) => element("option", { value: kind }, kind.replaceAll("_", " "))));
  find("pictures").hidden = !kinds.length;
  find("kind").addEventListener("change", drawPictures);
  find("slider").addEventListener("input", () => {
    find("slider").dataset.images = String(moments(find("kind").value)[Number(find("slider").value)]);
    drawGallery();
  });
  find("more-pictures").addEventListener("click", () => {
    allPictures = true;
    drawGallery();
  });
  selection.listeners.push(drawPictures);
}
