"use strict";
const data = JSON.parse(document.getElementById("report-data").textContent);
const dark = matchMedia("(prefers-color-scheme: dark)");
const touch = matchMedia("(pointer: coarse)").matches;

// A figure with its colour names ("@gain") replaced by those of the reader's scheme.
function coloured(value, colours) {
  if (typeof value === "string") return value[0] === "@" ? colours[value.slice(1)] ?? value : value;
  if (Array.isArray(value)) return value.map((part) => coloured(part, colours));
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, coloured(part, colours)]));
}

function draw() {
  const colours = data.palette[dark.matches ? "dark" : "light"];
  const config = { responsive: true, displaylogo: false, displayModeBar: false };
  for (const [name, figure] of Object.entries(data.figures)) {
    const { data: traces, layout } = coloured(figure, colours);
    // A finger on a chart scrolls the page; the buttons above a chart still zoom it.
    Plotly.react("figure-" + name, traces, { ...layout, dragmode: touch ? false : "zoom" }, config);
  }
}
