// The heading, and the start of all parts.

function drawAbout() {
  const images = [...new Set(DATA.runs.map((run) => run.images))].sort((a, b) => a - b);
  const unfinished = DATA.runs.filter((run) => !run.finished).length;
  const count = (n, word) => `${n} ${word}${n === 1 ? "" : "s"}`;
  const budget =
    images.length === 1 ? `all runs saw ${whole(images[0])} images` : `the runs saw ${whole(images[0])} to ${whole(images.at(-1))} images, see the marked rows`;
  const parts = [count(DATA.runs.length, "run"), count(DATA.groups.length, "setting"), budget];
  if (unfinished) parts.push(`${unfinished} unfinished`);
  find("about").textContent = `${parts.join(" · ")} · written ${DATA.written}`;
  find("following").textContent = DATA.following;
  if (DATA.problems.length) {
    find("problems").hidden = false;
    find("problems").querySelector("summary").textContent = `${count(DATA.problems.length, "problem")} while reading`;
    find("problems").querySelector("ul").replaceChildren(...DATA.problems.map((line) => element("li", {}, line)));
  }
}

drawAbout();
startTable();
startVerdicts();
startCurves();
startPictures();
startParallel();
startConfigs();
changed();
window.saddlepoint = { views, selection };
