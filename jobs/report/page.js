"use strict";
// Reads the figures beside each drawing: a cursor for pointers and for the arrow keys, and what it says as text.
const SVG = "http://www.w3.org/2000/svg";
const clock = (ms) => new Date(ms).toISOString().replace("T", " ").slice(0, 19);
const number = (value) => Number(value.toPrecision(4)).toLocaleString("en");

function steps(figure, count, show) {
  let at = -1;
  const move = (to) => { at = Math.max(0, Math.min(count - 1, to)); show(at); };
  figure.addEventListener("keydown", (event) => {
    const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, PageDown: 10, PageUp: -10 }[event.key];
    if (by !== undefined) move(at + by);
    else if (event.key === "Home") move(0);
    else if (event.key === "End") move(count - 1);
    else return;
    event.preventDefault();
  });
  return move;
}

// The place of a pointer in the units of the drawing.
function place(svg, event) {
  const box = svg.getBoundingClientRect(), view = svg.viewBox.baseVal;
  return [(event.clientX - box.left) / box.width * view.width, (event.clientY - box.top) / box.height * view.height];
}

function nearest(count, distance) {
  let best = 0;
  for (let i = 1; i < count; i++) if (distance(i) < distance(best)) best = i;
  return best;
}

function chart(figure, data) {
  const svg = figure.querySelector("svg"), output = figure.querySelector("output");
  const [left, right, top, bottom] = data.plot, span = data.to - data.from || 1;
  const times = [...new Set(data.curves.flatMap((curve) => curve.points.map((point) => point[0])))].sort((a, b) => a - b);
  const x = (time) => left + (right - left) * (time - data.from) / span;
  const cursor = svg.appendChild(document.createElementNS(SVG, "path"));
  cursor.setAttribute("class", "cursor");
  const move = steps(figure, times.length, (at) => {
    const time = times[at];
    cursor.setAttribute("d", `M${x(time)} ${top}V${bottom}`);
    const said = data.curves.map(({ name, points }) => {
      const [, mean, low, high] = points[nearest(points.length, (i) => Math.abs(points[i][0] - time))];
      return `${name} ${number(mean)} ${data.unit}${low < high ? ` (${number(low)} to ${number(high)})` : ""}`;
    });
    output.textContent = `${clock(time)} UTC: ${said.join("; ")}`;
  });
  svg.addEventListener("pointermove", (event) => {
    const at = place(svg, event)[0];
    move(nearest(times.length, (i) => Math.abs(x(times[i]) - at)));
  });
}

function map(figure, data) {
  const svg = figure.querySelector("svg"), output = figure.querySelector("output"), ring = svg.querySelector(".ring");
  const move = steps(figure, data.stations.length, (at) => {
    const [cx, cy, r, text] = data.stations[at];
    for (const [name, value] of Object.entries({ cx, cy, r: r + 3 })) ring.setAttribute(name, value);
    output.textContent = text;
  });
  svg.addEventListener("pointermove", (event) => {
    const [px, py] = place(svg, event);
    move(nearest(data.stations.length, (i) => (data.stations[i][0] - px) ** 2 + (data.stations[i][1] - py) ** 2));
  });
}

for (const figure of document.querySelectorAll("figure.chart")) {
  const script = figure.querySelector("script");
  if (script) (figure.classList.contains("map") ? map : chart)(figure, JSON.parse(script.textContent));
}

const button = document.getElementById("theme"), dark = matchMedia("(prefers-color-scheme: dark)");
function theme(name) {
  document.documentElement.dataset.theme = name;
  button.setAttribute("aria-pressed", String(name === "dark"));
  button.textContent = name === "dark" ? "Light" : "Dark";
}
theme(dark.matches ? "dark" : "light");
button.addEventListener("click", () => theme(document.documentElement.dataset.theme === "dark" ? "light" : "dark"));
