"use strict";
// What the page does beyond standing there: figures that answer the mouse, and the calculator.
// Everything shown was computed before; the calculator only interpolates, linearly in logarithms,
// between neighbouring answers of the table that the page carries. Without this script the drawn
// figures and the table of answers remain. Text is only ever set as text, never as markup.

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

function makeAxis(asked, color, grid) {
  return {
    title: { text: asked.label, standoff: 8 },
    type: asked.log ? "log" : "linear",
    range: asked.range && asked.range.map(Math.log10),
    color, gridcolor: grid, linecolor: color, zeroline: false, ticks: "",
    automargin: true, ...(asked.log ? listTicks() : { nticks: 7 }),
  };
}

// 1, 2 and 5 times every power of ten: what is seen of them depends on the zoom.
function listTicks() {
  const tickvals = [];
  for (let power = 0; power < 27; power += 1) {
    for (const digit of [1, 2, 5]) tickvals.push(digit * 10 ** power);
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
      ...(spec.labels === "middle" ? { bgcolor: resolveColor("--card") } : { xanchor: "left", xshift: 8 }),
    };
  });
}

function resolveColor(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function drawFigure(figure, spec) {
  const plotly = loadPlotly();
  const resolve = resolveColor;
  const box = figure.querySelector(".live");
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
    height: 460, margin: { l: 60, r: spec.labels === "middle" ? 16 : 64, t: 10, b: 52 }, hovermode: "closest", hoverdistance: 24,
    dragmode: touch ? false : "zoom",
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    font: { color: ink, family: getComputedStyle(document.body).fontFamily, size: 12 },
    hoverlabel: { bgcolor: resolve("--card"), bordercolor: muted, font: { color: ink, size: 13 } },
    xaxis: makeAxis(spec.x, muted, resolve("--grid")),
    yaxis: makeAxis(spec.y, muted, resolve("--grid")),
    annotations: labelLines(spec, muted),
  };
  box.hidden = false;
  plotly.react(box, traces, layout, { responsive: true, displayModeBar: false, displaylogo: false });
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

// --- the calculator ------------------------------------------------------------------------------

// Where value lies among ascending nodes: index of the lower neighbour, and the share beyond it.
function locate(nodes, value) {
  let low = 0, high = nodes.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (nodes[middle] <= value) low = middle; else high = middle;
  }
  const share = (Math.log(value) - Math.log(nodes[low])) / (Math.log(nodes[high]) - Math.log(nodes[low]));
  return [low, Math.min(1, Math.max(0, share))];
}

function interpolate(nodes, values, value) {
  const [at, share] = locate(nodes, value);
  return Math.exp((1 - share) * Math.log(values[at]) + share * Math.log(values[at + 1]));
}

function interpolateRange(table, name, value) {
  if (!table || !table[name]) return null;
  return table[name].map((ends) => interpolate(table.flops, ends, value));
}

// The curve of the conditions asked for; without any, the table of budgets itself.
function chooseCurve(table, asked) {
  if (!table.conditions) return table.best;
  const { served, unique, curves } = table.conditions;
  return curves[served.indexOf(asked.served)][unique.indexOf(asked.unique)] ?? table.best;
}

function answer(table, asked) {
  const curve = chooseCurve(table, asked);
  const { flops } = asked;
  // The ends of the table of budgets are rounded; those of a curve are where answers end.
  const slack = curve === table.best ? 1.01 : 1;
  if (curve.flops.length < 2 || flops < curve.flops[0] / slack || flops > curve.flops.at(-1) * slack) return null;
  const best = (name) => (curve[name] ? interpolate(curve.flops, curve[name], flops) : null);
  const plain = curve === table.best;
  const range = (name) => (plain ? interpolateRange(table.ranges, name, flops) : null);
  return {
    flops, params: best("params"), tokens: best("tokens"), loss: best("loss"),
    ranges: { params: range("params"), tokens: range("tokens"), loss: range("loss") },
  };
}

// 6.4e11, not 640000000000: what a shell takes and a person reads.
function writeFlops(value) {
  const [mantissa, exponent] = value.toExponential(5).split("e");
  return `${Number(mantissa)}e${Number(exponent)}`;
}

function writeCommand(table, asked) {
  const words = [table.command, "--flops", writeFlops(asked.flops)];
  if (asked.served) words.push("--inference-tokens", writeFlops(asked.served));
  if (asked.unique) words.push("--unique-tokens", writeFlops(asked.unique));
  return words.join(" ");
}

function describeDistance(flops, [low, high]) {
  const beyond = Math.max(Math.log10(flops / high), Math.log10(low / flops));
  if (beyond <= 0.005) return { tone: "good", text: "inside the trained budgets" };
  const span = Math.log10(high / low);
  const far = beyond > span, half = beyond > span / 2;
  const grade = far ? ", further out than they are wide" : half ? ", more than half of their span" : "";
  const decades = Number(beyond.toPrecision(2));
  const side = flops > high ? "above" : "below";
  return {
    tone: far ? "red" : half ? "amber" : "good",
    text: `${decades} ${decades === 1 ? "decade" : "decades"} ${side} the trained budgets${grade}`,
  };
}

function describeMoney(table, asked, one) {
  const training = asked.price * one.flops / 1e18;
  if (!asked.served) return `${threeDigits(training)} for training`;
  const serving = training * table.conditions.share * asked.served / one.tokens;
  return `${threeDigits(training)} for training, ${threeDigits(serving)} for serving`;
}

function startCalculator() {
  const table = read("answers");
  const box = document.getElementById("calculator-live");
  if (!table || !box) return;
  const find = (name) => box.querySelector(`[data-show="${name}"]`);
  const show = (name, text) => { find(name).textContent = text; };
  const asked = { served: 0, unique: null };

  const update = () => {
    const one = asked.refused ? null : answer(table, asked);
    show("command", asked.refused ? "–" : writeCommand(table, asked));
    find("refusal").hidden = one !== null;
    document.getElementById("calculator-answer").hidden = one === null;
    const distance = asked.refused ? { tone: "", text: "–" } : describeDistance(asked.flops, table.covered);
    show("distance", distance.text);
    find("distance").dataset.tone = distance.tone;
    if (one === null) {
      show("refusal", asked.refused || "No answer here: the text would be repeated more than four times, which only runs that repeat theirs can judge, or the question lies beyond this table.");
      for (const name of ["loss", "ratio", "money", "epochs"]) show(name, "–");
      for (const name of ["params", "tokens", "loss"]) delete box.dataset[name];
      return;
    }
    const range = (ends, format) => (ends ? ` (${format(ends[0])} to ${format(ends[1])})` : "");
    const loss = (value) => value.toFixed(3);
    show("params", formatCount(one.params));
    show("tokens", formatCount(one.tokens));
    show("params-range", range(one.ranges.params, formatCount));
    show("tokens-range", range(one.ranges.tokens, formatCount));
    show("loss", one.loss === null ? "not known by this approach"
      : `${loss(one.loss)} ${table.unit}${range(one.ranges.loss, loss)}`);
    show("ratio", formatCount(one.tokens / one.params));
    show("money", describeMoney(table, asked, one));
    show("epochs", asked.unique ? threeDigits(one.tokens / asked.unique) : "none of it is seen twice");
    Object.assign(box.dataset, { params: one.params, tokens: one.tokens, loss: one.loss ?? "" });
  };

  startSliders(box, asked, update);
  startStops(box, table.conditions, asked, update);
  box.hidden = false;
  update();
}

// Sliders over a range of numbers, each beside a field that takes any number of it.
function startSliders(box, asked, update) {
  for (const slider of box.querySelectorAll("[data-asks]")) {
    const name = slider.dataset.asks;
    const typed = box.querySelector(`[data-types="${name}"]`);
    const [low, high] = [Number(slider.dataset.low), Number(slider.dataset.high)];
    const set = (value, from) => {
      asked[name] = value;
      asked.refused = "";
      const words = asked[name] < 1e5 ? threeDigits(asked[name]) : plainFlops(asked[name]);
      if (from !== slider) slider.value = Number(slider.max) * Math.log(asked[name] / low) / Math.log(high / low);
      if (from !== typed || asked[name] !== value) typed.value = words;
      slider.setAttribute("aria-valuetext", words);
      typed.setAttribute("aria-invalid", "false");
    };
    slider.addEventListener("input", () => {
      const value = low * (high / low) ** (Number(slider.value) / Number(slider.max));
      set(Number(plainFlops(value)), slider);
      update();
    });
    typed.addEventListener("change", () => {
      const value = readNumber(typed.value);
      const ends = `${plainFlops(low)} to ${plainFlops(high)}`;
      if (!(value > 0 && Number.isFinite(value))) {
        asked.refused = `“${typed.value}” is no number: write 1e21, 10^21, 70M, 10T or 5 PFLOPs.`;
      } else if (value < low / 1.01 || value > high * 1.01) {
        asked.refused = `This page answers from ${ends}; the command line answers further.`;
      } else set(Math.min(high, Math.max(low, value)), typed);
      typed.setAttribute("aria-invalid", String(asked.refused !== ""));
      update();
    });
    set(Number(slider.dataset.start), null);
  }
}

// A number as people write it: 1e21, 10^21, 70M, 1.4B, 1,000,000, 5 PFLOPs. NaN where it is none.
function readNumber(text) {
  const scales = { k: 1e3, m: 1e6, b: 1e9, t: 1e12, g: 1e9, p: 1e15, e: 1e18, z: 1e21 };
  const typed = text.trim();
  const flat = /^\d{1,3}(,\d{3}){2,}(?!\d)/.test(typed) ? typed.replaceAll(",", "") : typed;  // one comma may be a fraction
  const power = /^(?:([\d.]+)\s*[*x×·]\s*)?10\s*\^\s*(-?\d+)$/.exec(flat);
  if (power) return Number(power[1] ?? 1) * Number(`1e${power[2]}`);
  const found = /^([\d.]+(?:e[+-]?\d+)?)\s*([kmbt]|[gpez](?=flops?$))?\s*(?:flops?|tokens?|params?)?$/i.exec(flat);
  return found ? Number(found[1]) * (found[2] ? scales[found[2].toLowerCase()] : 1) : NaN;
}

// Sliders over a few stops: there is a curve of answers for each.
function startStops(box, conditions, asked, update) {
  for (const part of box.querySelectorAll("[data-needs=conditions]")) part.hidden = !conditions;
  if (!conditions) return;
  for (const slider of box.querySelectorAll("[data-stops]")) {
    const name = slider.dataset.stops;
    const stops = conditions[name];
    slider.max = stops.length - 1;
    slider.value = stops.indexOf(asked[name]);
    const tell = () => {
      const value = stops[Number(slider.value)];
      asked[name] = value;
      const words = value ? formatCount(value) : name === "served" ? "none" : "enough";
      box.querySelector(`[data-told="${name}"]`).textContent = words;
      slider.setAttribute("aria-valuetext", words);
    };
    slider.addEventListener("input", () => { tell(); update(); });
    tell();
  }
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
