"use strict";
// What the page does beyond standing there: figures that answer the mouse, figures to take along,
// and the calculator (calculator.js, solver.js). Without scripts the drawn figures and the table of
// answers remain. Text is only ever set as text, never as markup.

const read = (id) => {
  const block = document.getElementById(id);
  return block ? JSON.parse(block.textContent) : null;
};

// --- numbers in words, as everywhere else on the page ------------------------------------------

const SUFFIXES = [[1e12, "T"], [1e9, "B"], [1e6, "M"], [1e3, "k"]];

function threeDigits(value) {
  if (!Number.isFinite(value)) return "–";
  if (value !== 0 && (Math.abs(value) < 1e-4 || Math.abs(value) >= 999.5)) {
    return plainFlops(value);
  }
  return String(Number(value.toPrecision(3)));
}

function formatCount(value) {
  for (const [size, suffix] of SUFFIXES) {
    if (Math.abs(value) >= size * (1 - 5e-4) && Math.abs(value) < 999.5 * size) {
      return threeDigits(value / size) + suffix;
    }
  }
  return threeDigits(value);
}

function plainFlops(value) {
  const [mantissa, exponent] = value.toExponential(2).split("e");
  return `${Number(mantissa)}e${Number(exponent)}`;
}

// --- figures -------------------------------------------------------------------------------------

const LOOKS = {
  dots: { mode: "markers", marker: { size: 8, symbol: "circle" } },
  rings: { mode: "markers", marker: { size: 8, symbol: "circle-open", line: { width: 2 } } },
  diamonds: { mode: "markers", marker: { size: 11, symbol: "diamond" } },
  line: { mode: "lines", line: { width: 1.8 } },
  dotted: { mode: "lines", line: { width: 1.2, dash: "dot" } },
  dashes: { mode: "lines", line: { width: 1.2, dash: "dash" } },
  strong: { mode: "lines", line: { width: 2.4 } },
};

function loadPlotly() {
  if (!window.Plotly) {
    const script = document.createElement("script");
    script.textContent = document.getElementById("plotly-source").textContent;
    document.head.append(script);
  }
  return window.Plotly;
}

function makeAxis(asked, color, grid, narrow) {
  return {
    title: { text: asked.label, standoff: 8 },
    type: asked.log ? "log" : "linear",
    range: asked.range && asked.range.map(Math.log10),
    color, gridcolor: grid, linecolor: color, zeroline: false, ticks: "",
    automargin: true, ...(asked.log ? listTicks(narrow) : { nticks: 7 }),
  };
}

// 1, 2 and 5 times every power of ten, on a phone 1 and 3: what is seen of them depends on the zoom.
function listTicks(narrow) {
  const tickvals = [];
  for (let power = 0; power < 27; power += 1) {
    for (const digit of narrow ? [1, 3] : [1, 2, 5]) tickvals.push(digit * 10 ** power);
  }
  return { tickmode: "array", tickvals, ticktext: tickvals.map(formatCount) };
}

// A line's own words, at its end or, on the map, in its middle.
function labelLines(spec, color) {
  const place = (axis, value) => (axis.log ? Math.log10(value) : value);
  return spec.traces.filter((one) => one.label).map((one) => {
    const at = spec.labels === "middle" ? one.x.length >> 1 : one.x.length - 1;
    return {
      text: one.label, showarrow: false, font: { color, size: 12 },
      x: place(spec.x, one.x[at]), y: place(spec.y, one.y[at]),
      ...(spec.labels === "middle" ? { bgcolor: resolveColor("--card") } : { bgcolor: `${resolveColor("--card")}bb`, xanchor: "left", xshift: 8 }),
    };
  });
}

// Labels at line ends, moved down by a line of text where they would stand on one another.
function spreadLabels(plotly, box, labels) {
  const high = 15, wide = 100, { xaxis, yaxis } = box._fullLayout;
  const waiting = labels.map((one) => ({ one, x: xaxis.r2p(one.x), y: yaxis.r2p(one.y) })).sort((a, b) => a.y - b.y);
  const placed = [];
  for (const label of waiting) {
    const wanted = label.y;
    for (const other of placed) {
      if (Math.abs(other.x - label.x) < wide && Math.abs(other.y - label.y) < high) label.y = other.y + high;
    }
    label.one.yshift = wanted - label.y;
    placed.push(label);
    placed.sort((a, b) => a.y - b.y);
  }
  plotly.relayout(box, { annotations: labels });
}

function resolveColor(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function drawFigure(figure, spec) {
  const plotly = loadPlotly();
  const resolve = resolveColor;
  const box = figure.querySelector(".live");
  const narrow = figure.clientWidth < 600;
  const touch = matchMedia("(pointer: coarse)").matches;
  const traces = spec.traces.map((one) => {
    const color = resolve(one.color);
    const look = structuredClone(LOOKS[one.kind]);
    Object.assign(look.mode === "lines" ? look.line : look.marker, { color });
    return {
      ...look, type: "scatter", x: one.x, y: one.y, text: one.text, hoverinfo: "text",
      hoverlabel: { align: "left" }, showlegend: false,
    };
  });
  const ink = resolve("--ink"), muted = resolve("--muted");
  const layout = {
    height: 460, margin: { l: 60, r: 16, t: 10, b: 52 }, hovermode: "closest", hoverdistance: 24,
    dragmode: touch ? false : "zoom",
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    font: { color: ink, family: getComputedStyle(document.body).fontFamily, size: 12 },
    hoverlabel: { bgcolor: resolve("--card"), bordercolor: muted, font: { color: ink, size: 13 } },
    xaxis: makeAxis(spec.x, muted, resolve("--grid"), narrow),
    yaxis: makeAxis(spec.y, muted, resolve("--grid"), narrow),
    annotations: labelLines(spec, muted),
  };
  box.hidden = false;
  plotly.react(box, traces, layout, { responsive: true, displayModeBar: false, displaylogo: false });
  if (spec.labels === "end") spreadLabels(plotly, box, layout.annotations);
  figure.classList.add("drawn");
}

function startFigures() {
  const specs = read("figures");
  if (!specs) return;
  const drawn = new Map();
  const watcher = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      const figure = entry.target;
      if (entry.isIntersecting && !drawn.has(figure)) {
        drawn.set(figure, specs[figure.dataset.live]);
        drawFigure(figure, specs[figure.dataset.live]);
        watcher.unobserve(figure);
      }
    }
  }, { rootMargin: "200px" });
  for (const figure of document.querySelectorAll("[data-live]")) {
    if (figure.dataset.live in specs) watcher.observe(figure);
  }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    for (const [figure, spec] of drawn) drawFigure(figure, spec);
  });
}

// --- figures to take along -----------------------------------------------------------------------

// The drawn figure as a file of its own, in the light colours that stand in it as fallbacks.
function writeSvg(figure) {
  const drawn = [...figure.querySelectorAll(".wide svg, .narrow svg")];
  const svg = (drawn.find((one) => one.getClientRects().length) ?? drawn[0]).cloneNode(true);
  const [, , width, height] = svg.getAttribute("viewBox").split(" ");
  svg.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  svg.setAttribute("width", width);
  svg.setAttribute("height", height);
  svg.setAttribute("font-family", "DejaVu Sans, Helvetica, Arial, sans-serif");
  const sheet = document.createElementNS("http://www.w3.org/2000/svg", "rect");
  for (const [name, value] of [["width", width], ["height", height], ["fill", "#ffffff"]]) sheet.setAttribute(name, value);
  svg.prepend(sheet);
  const text = new XMLSerializer().serializeToString(svg);
  return { text: text.replace(/var\(--[\w-]+, (#[0-9a-f]{6})\)/g, "$1"), width: Number(width), height: Number(height) };
}

function asAddress({ text }) {
  return `data:image/svg+xml;charset=utf-8,${encodeURIComponent(text)}`;
}

function asPng(drawing) {
  return new Promise((resolve) => {
    const image = new Image();
    image.onload = () => {
      const canvas = document.createElement("canvas");
      [canvas.width, canvas.height] = [3 * drawing.width, 3 * drawing.height];
      canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
      resolve(canvas.toDataURL("image/png"));
    };
    image.src = asAddress(drawing);
  });
}

function startDownloads() {
  for (const figure of document.querySelectorAll("figure[data-key]")) {
    const offer = (form, make) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = form;
      button.setAttribute("aria-label", `Save this figure as ${form}`);
      button.addEventListener("click", async () => {
        const link = document.createElement("a");
        link.href = await make(writeSvg(figure));
        link.download = `${document.title.split(" ")[0]}-${figure.dataset.key}.${form.toLowerCase()}`;
        figure.dataset.saved = link.href.slice(0, 40);
        link.click();
      });
      return button;
    };
    const row = document.createElement("span");
    row.className = "save";
    row.append(offer("SVG", asAddress), offer("PNG", asPng));
    figure.querySelector("figcaption").append(row);
  }
}

startCalculator();
startFigures();
startDownloads();
