"use strict";
// Draws the figures of the page out of the JSON that it carries. Colours: Okabe and Ito; shapes and patterns repeat them.
const report = JSON.parse(document.getElementById("data").textContent);
const COLORS = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#000000"];
const SYMBOLS = ["circle", "diamond", "square", "cross", "triangle-up", "x", "star"];
const PATTERNS = ["", "/", "x", ".", "\\", "-", "+"];
const OPTIONS = { responsive: true, displaylogo: false };
const LAYOUT = { margin: { l: 70, r: 20, t: 20, b: 60 }, font: { size: 14 }, legend: { orientation: "h", y: 1.12 } };
const INTEGERS = new Set(["lut", "lutram", "ff", "bram18", "uram", "dsp"]);
const number = (value) => value === null ? "-" : Math.abs(value) >= 1000 ? Math.round(value).toLocaleString("en") : Number(value.toPrecision(4)).toString();
const marker = (i) => ({ color: COLORS[i % 7], pattern: { shape: PATTERNS[i % 7], fillmode: "overlay", fgcolor: "#ffffff", size: 9, solidity: 0.2 }, line: { color: "#1a1a1a", width: 0.5 } });
const bars = (name, i, x, y) => ({ type: "bar", name, x, y, marker: marker(i) });

function drawPhases() {
  const words = report.phase_words;
  const names = Object.keys(words).filter((name) => report.devices.some((d) => (d.seconds[name] || 0) > 0));
  const traces = report.devices.map((d, i) => bars(d.device, i, names.map((n) => words[n]), names.map((n) => 1e3 * (d.seconds[n] || 0))));
  Plotly.newPlot("figure-phases", traces, { ...LAYOUT, barmode: "group", yaxis: { title: { text: "milliseconds" } } }, OPTIONS);
}

function drawResources() {
  const fpgas = report.devices.filter((d) => d.resources);
  if (!fpgas.length) return;
  const names = Object.keys(fpgas[0].resources);
  const traces = fpgas.map((d, i) => bars(d.device, i, names.map((n) => report.resource_words[n]), names.map((n) => 100 * d.utilization[n])));
  const budget = { type: "line", xref: "paper", x0: 0, x1: 1, y0: 100, y1: 100, line: { color: "#1a1a1a", dash: "dash" } };
  Plotly.newPlot("figure-resources", traces, { ...LAYOUT, barmode: "group", shapes: [budget], yaxis: { title: { text: "% of the budget" } } }, OPTIONS);
}

function drawDevices() {
  const rows = report.comparison;
  const kinds = [...new Set(rows.map((r) => r.kind))];
  const traces = kinds.map((kind, i) => {
    const own = rows.filter((r) => r.kind === kind);
    return {
      type: "scatter", mode: "markers", name: kind, y: own.map((r) => r.device), x: own.map((r) => 1e3 * r.latency_s),
      error_x: { type: "data", symmetric: false, array: own.map((r) => 1e3 * (r.latency_high_s - r.latency_s)), arrayminus: own.map((r) => 1e3 * (r.latency_s - r.latency_low_s)) },
      marker: { color: COLORS[i], symbol: SYMBOLS[i], size: 11, line: { width: 1, color: "#1a1a1a" } },
    };
  });
  const layout = { ...LAYOUT, height: 120 + 24 * rows.length, margin: { ...LAYOUT.margin, l: 110 }, xaxis: { type: "log", title: { text: "milliseconds, 90 % interval" } }, yaxis: { categoryorder: "array", categoryarray: rows.map((r) => r.device).reverse(), dtick: 1 } };
  Plotly.newPlot("figure-devices", traces, layout, OPTIONS);
}

function drawAccuracy() {
  if (!report.accuracy.length) return;
  const sources = [...new Set(report.accuracy.map((a) => a.source + ": " + a.figure))];
  const traces = sources.map((source, i) => {
    const own = report.accuracy.filter((a) => a.source + ": " + a.figure === source);
    return { type: "scatter", mode: "lines+markers", name: source, x: own.map((a) => a.fractional_bits), y: own.map((a) => a.value), text: own.map((a) => a.label), marker: { color: COLORS[i % 7], symbol: SYMBOLS[i % 7], size: 10 }, line: { color: COLORS[i % 7], dash: ["solid", "dash", "dot"][i % 3] } };
  });
  Plotly.newPlot("figure-accuracy", traces, { ...LAYOUT, showlegend: true, xaxis: { title: { text: "fractional bits" }, dtick: 1 }, yaxis: { title: { text: "share" } } }, OPTIONS);
}

function limit(id, factor) {
  const value = parseFloat(document.getElementById(id).value);
  return Number.isFinite(value) ? value * factor : Infinity;
}

function drawPareto() {
  if (!report.fronts.length) return;
  const [x, y] = ["pareto-x", "pareto-y"].map((id) => document.getElementById(id).value);
  const limits = { latency_s: limit("pareto-latency", 1e-3), dsp: limit("pareto-dsp", 1), lut: limit("pareto-lut", 1) };
  const kept = report.fronts.map((front) => front.designs.filter((d) => Object.entries(limits).every(([name, most]) => d.figures[name] <= most)));
  const traces = report.fronts.map((front, i) => ({
    type: "scatter", mode: "markers", name: front.device, x: kept[i].map((d) => d.figures[x]), y: kept[i].map((d) => d.figures[y]),
    text: kept[i].map((d) => `design ${d.index}<br>` + report.metrics.map((m) => `${m} ${number(d.figures[m])}`).join("<br>") + (d.knobs ? `<br>${d.knobs.replaceAll("<", "&lt;")}` : "")),
    hovertemplate: "%{text}<extra>%{fullData.name}</extra>", marker: { color: COLORS[i % 7], symbol: SYMBOLS[i % 7], size: 8, opacity: 0.8, line: { width: 0.5, color: "#1a1a1a" } },
  }));
  const axis = (name) => ({ title: { text: name }, type: INTEGERS.has(name) ? "linear" : "log" });
  Plotly.react("figure-pareto", traces, { ...LAYOUT, height: 480, hovermode: "closest", showlegend: true, xaxis: axis(x), yaxis: axis(y) }, OPTIONS);
  document.getElementById("pareto-count").textContent = kept.reduce((sum, part) => sum + part.length, 0) + " designs shown";
  const body = document.querySelector("#table-pareto tbody");
  body.replaceChildren(...kept.flatMap((part, i) => part.slice(0, 50).map((d) => {
    const row = document.createElement("tr");
    row.tabIndex = 0;
    for (const text of [`${report.fronts[i].device} ${d.index}`, ...report.metrics.map((m) => number(d.figures[m])), d.knobs]) row.appendChild(document.createElement("td")).textContent = text;
    row.lastChild.className = "knobs";
    row.addEventListener("keydown", (event) => {
      const next = { ArrowDown: row.nextElementSibling, ArrowUp: row.previousElementSibling }[event.key];
      if (next) { next.focus(); event.preventDefault(); }
    });
    row.addEventListener("focus", () => Plotly.Fx.hover("figure-pareto", [{ curveNumber: i, pointNumber: part.indexOf(d) }]));
    return row;
  })));
}

drawPhases(); drawResources(); drawDevices(); drawAccuracy(); drawPareto();
for (const control of document.querySelectorAll(".filters input, .filters select")) control.addEventListener("input", drawPareto);
document.querySelector(".filters")?.addEventListener("reset", () => setTimeout(drawPareto));
