"use strict";
// The calculator: questions from sliders and typed numbers, answers by solver.js. The answer comes at
// once, its intervals when every draw has answered; text is only ever set as text, never as markup.

// --- numbers as people write them: units/numbers.py in this language --------------------------------

const NUMBER_SCALES = [["k", "thousand", 3], ["m", "mn", "million", 6], ["b", "bn", "billion", 9], ["t", "tn", "trillion", 12]];
const NUMBER_WORDS = {
  FLOP: ["flop", "flops"], tokens: ["token", "tokens", "tok"],
  parameters: ["param", "params", "parameter", "parameters"],
};
const PREFIXES = { k: 3, m: 6, g: 9, t: 12, p: 15, e: 18, z: 21 };
const PF_DAYS = ["pf-day", "pf-days", "pfdays", "pfs-days", "pflop/s-days", "petaflop/s-days"];

// What may follow a number, without blanks: power of ten (8.64e19 for a PF-day) and what it counts.
function listTails() {
  const tails = new Map([["", [0, ""]]]);
  const scales = NUMBER_SCALES.flatMap((row) => row.slice(0, -1).map((name) => [name, row.at(-1)]));
  for (const [name, power] of scales) tails.set(name, [power, ""]);
  for (const [quantity, words] of Object.entries(NUMBER_WORDS)) {
    for (const word of words) {
      tails.set(word, [0, quantity]);
      for (const [name, power] of scales) tails.set(name + word, [power, quantity]);
      if (quantity === "FLOP") for (const [name, power] of Object.entries(PREFIXES)) tails.set(name + word, [power, quantity]);
    }
  }
  for (const name of PF_DAYS) tails.set(name, ["PF-day", "FLOP"]);
  return tails;
}
const TAILS = listTails();

// {value}, or {refusal} in words; `of` is what is asked for: FLOP, tokens, parameters or nothing.
function readNumber(text, of = "") {
  const shown = text.trim();
  const refuse = (words) => ({ refusal: `${words}; write 70000000, 7e7, 70M, 10T or 10^21.` });
  const none = refuse(`“${shown.slice(0, 40)}” is no number`);
  const raised = { "⁰": 0, "¹": 1, "²": 2, "³": 3, "⁴": 4, "⁵": 5, "⁶": 6, "⁷": 7, "⁸": 8, "⁹": 9, "⁺": "+", "⁻": "-" };
  const flat = shown.replace(/10([⁺⁻]?[⁰¹²³⁴⁵⁶⁷⁸⁹]{1,3})/g, (_, power) => `10^${[...power].map((one) => raised[one]).join("")}`)
    .replace(/[\u00a0\u202f\u2009]/g, " ").replaceAll("’", "'");
  const ends = (at) => !/^[0-9.,_']/.test(flat.slice(at));
  let digits, rest, found;
  if ((found = /^(?:([+-]?(?:\d+\.?\d*|\.\d+))\s*[*x×·]\s*)?10\s*(?:\^|\*\*)\s*\{?([+-]?\d{1,3})\}?/.exec(flat))) {
    [digits, rest] = [`${found[1] ?? 1}e${Number(found[2])}`, flat.slice(found[0].length)];
  } else if ((found = /^([+-]?)(\d{1,3})((?:([.,_' ])\d{3})(?:\4\d{3})*)(?:([.,])(\d+))?/.exec(flat)) && ends(found[0].length) && found[2] !== "0") {
    const [all, sign, first, groups, mark, other, fraction] = found;
    if (mark === other) return none;
    if ("_' ".includes(mark) || groups.split(mark).length > 2 || other) {
      const whole = sign + first + groups.replaceAll(mark, "");
      [digits, rest] = [fraction ? `${whole}.${fraction}` : whole, flat.slice(all.length)];
    } else if (mark === ",") return { refusal: `“${shown}” may be ${first}${groups.slice(1)} or ${first}.${groups.slice(1)}: write one.` };
  }
  if (digits === undefined && (found = /^([+-]?\d*),(\d+)((?:e[+-]?\d+)?)/i.exec(flat)) && ends(found[0].length)) {
    return { refusal: `“${shown}” has a comma before its fraction; write ${found[1] || 0}.${found[2]}${found[3]}.` };
  }
  if (digits === undefined && (found = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?/i.exec(flat))) {
    [digits, rest] = [found[0], flat.slice(found[0].length)];
  }
  const tail = digits === undefined ? undefined : TAILS.get(rest.replaceAll(" ", "").toLowerCase());
  if (!tail) return none;
  const [power, quantity] = tail;
  if (quantity && of && quantity !== of) return refuse(`“${shown}” is a number of ${quantity} where one of ${of} is needed`);
  const value = power === "PF-day" ? Number(digits) * 8.64e19 : /e/i.test(digits) ? Number(digits) * Number(`1e${power}`) : Number(`${digits}e${power}`);
  return value > 0 && Number.isFinite(value) ? { value } : refuse(`“${shown}” is not positive and finite`);
}

// --- questions and answers in words -----------------------------------------------------------------

const COUNTED = { flops: "FLOP", params: "parameters", tokens: "tokens", served: "tokens", unique: "tokens" };
const ASKS = { budget: ["flops"], loss: ["loss"], params: ["flops", "params"], tokens: ["flops", "tokens"], both: ["params", "tokens"] };
const OPTIONS = {
  flops: "--flops", loss: "--target-loss", params: "--params", tokens: "--tokens",
  served: "--inference-tokens", unique: "--unique-tokens",
};
const TRAINED = { C: "the trained budgets", N: "the trained sizes", D: "the trained data", "D/N": "the trained tokens per parameter" };

// 6.4e11, not 640000000000: what a shell takes and a person reads.
function writeNumber(value) {
  if (value >= 1e-3 && value < 1e5) return String(Number(value.toPrecision(6)));
  const [mantissa, exponent] = value.toExponential(5).split("e");
  return `${Number(mantissa)}e${Number(exponent)}`;
}

function writeCommand(table, asked) {
  const names = [...ASKS[asked.mode], "served", "unique"].filter((name) => asked[name]);
  return [table.command, ...names.map((name) => `${OPTIONS[name]} ${writeNumber(asked[name])}`)].join(" ");
}

function describeDistances(distances) {
  const beyond = distances.filter(({ name, decades }) => decades > (name === "D/N" ? 0.1 : 0.005));
  if (!beyond.length) return [{ tone: "good", text: "inside the trained runs" }];
  return beyond.map(({ name, value, ends, decades, span }) => {
    const share = decades / (name === "D/N" ? Math.max(span, 0.1) : span);
    const grade = share > 1 ? ", further out than they are wide" : share > 0.5 ? ", more than half of their span" : "";
    const far = Number(decades.toPrecision(2)), side = value > ends[1] ? "above" : "below";
    return {
      tone: share > 1 ? "red" : share > 0.5 ? "amber" : "good",
      text: `${name}: ${far} ${far === 1 ? "decade" : "decades"} ${side} ${TRAINED[name]}${grade}`,
    };
  });
}

function describeMoney(table, asked, one) {
  const training = asked.price * one.flops / 1e18;
  if (!asked.served) return `${threeDigits(training)} for training`;
  return `${threeDigits(training)} for training, ${threeDigits(training * table.share * asked.served / one.tokens)} for serving`;
}

function describeNotes(table, asked, one, lost) {
  const notes = [];
  if (one.epochs > 1 && !knowsRepeats(table.law)) notes.push("What repeated tokens are worth is published (Muennighoff et al. 2023), not measured on these runs.");
  if (lost > 0.05) notes.push(`In ${Math.round(100 * lost)} % of the draws no compute reaches this loss: it lies within the uncertainty of the law's floor.`);
  return notes.join(" ");
}

function writeRange(ends, format) {
  if (!ends) return "";
  const [low, high] = ends;
  return high === Infinity ? ` (above ${format(low)} without an upper end)` : ` (${format(low)} to ${format(high)})`;
}

// --- the card ---------------------------------------------------------------------------------------

function startCalculator() {
  const table = read("answers");
  const box = document.getElementById("calculator-live");
  if (!table || !box) return;
  const find = (name) => box.querySelector(`[data-show="${name}"]`);
  const show = (name, text) => { find(name).textContent = text; };
  const written = (nats) => (table.factor ? nats * table.factor : Math.exp(nats));
  const loss = (nats) => written(nats).toFixed(3);
  const asked = { mode: "budget", refusals: {} };
  let turn = 0;

  const showAnswer = (one, { ranges, lost } = { ranges: {}, lost: 0 }) => {
    show("params", formatCount(one.params));
    show("tokens", formatCount(one.tokens));
    show("params-range", writeRange(ranges.params, formatCount));
    show("tokens-range", writeRange(ranges.tokens, formatCount));
    show("flops", `${plainFlops(one.flops)} FLOPs` + writeRange(ranges.flops, plainFlops));
    show("loss", `${loss(one.loss)} ${table.unit}${writeRange(ranges.loss, loss)}`);
    show("ratio", formatCount(one.tokens / one.params));
    show("money", describeMoney(table, asked, one));
    show("epochs", one.epochs ? threeDigits(one.epochs) : "none of it is seen twice");
    show("note", describeNotes(table, asked, one, lost));
    find("distance").replaceChildren(...describeDistances(one.distances).map(({ tone, text }) => {
      const line = document.createElement("span");
      [line.dataset.tone, line.textContent] = [tone, text];
      return line;
    }));
    const told = { flops: one.flops, params: one.params, tokens: one.tokens, loss: written(one.loss) };
    if (ranges.loss) ranges = { ...ranges, loss: ranges.loss.map(written) };
    box.dataset.answer = JSON.stringify({ ...told, ranges });
  };

  // In slices of some milliseconds, so that a slider can be dragged meanwhile.
  const askDraws = (mine, question, one, found) => {
    if (mine !== turn) return;
    const stop = performance.now() + 12;
    while (found.length < table.draws.length && performance.now() < stop) found.push(followDraw(table, question, one, found.length));
    if (found.length < table.draws.length) { setTimeout(askDraws, 0, mine, question, one, found); return; }
    showAnswer(one, gatherIntervals(table, question, one, found));
    box.dataset.state = "done";
  };

  const update = () => {
    turn += 1;
    const open = [...ASKS[asked.mode], "served", "unique", "price"];
    const refused = open.map((name) => asked.refusals[name]).find(Boolean);
    const inside = table.factor ? asked.loss / table.factor : Math.log(asked.loss);
    const question = { ...asked, loss: inside };
    const one = refused ? { refusal: refused } : answerPoint(table, question);
    show("command", refused ? "–" : writeCommand(table, asked));
    find("refusal").hidden = !one.refusal;
    document.getElementById("calculator-answer").hidden = Boolean(one.refusal);
    box.dataset.state = "asking";
    if (one.refusal) {
      show("refusal", one.refusal);
      for (const name of ["flops", "loss", "ratio", "money", "epochs", "distance"]) show(name, "–");
      show("note", "");
      delete box.dataset.answer;
      box.dataset.state = "refused";
      return;
    }
    showAnswer(one);
    if (table.draws.length) askDraws(turn, question, one, []); else box.dataset.state = "done";
  };

  for (const slider of box.querySelectorAll("[data-asks]")) startField(box, table, slider, asked, update);
  startModes(box, asked, update);
  box.hidden = false;
  update();
}

// Which numbers are given; the others are answered.
function startModes(box, asked, update) {
  const choice = box.querySelector("[data-mode]");
  const show = () => {
    asked.mode = choice.value;
    const given = ASKS[asked.mode];
    for (const part of box.querySelectorAll("[data-of]")) part.hidden = !given.includes(part.dataset.of);
  };
  choice.addEventListener("change", () => { show(); update(); });
  show();
}

// A slider over a range of numbers beside a field that takes any; an optional one may say none.
function startField(box, table, slider, asked, update) {
  const name = slider.dataset.asks, none = slider.dataset.none ?? null;
  const typed = box.querySelector(`[data-types="${name}"]`);
  const { low, high, start } = table.fields[name] ?? { low: 0.1, high: 1000, start: 2 };  // price
  const last = Number(slider.max), from = slider.dataset.end === "high" ? last : 0;
  const isNone = (place) => none !== null && place === from;
  const set = (value, words, place) => {
    asked[name] = value;
    asked.refusals[name] = "";
    if (place !== undefined) slider.value = place;
    if (words !== undefined) typed.value = words;
    slider.setAttribute("aria-valuetext", words ?? typed.value);
    typed.setAttribute("aria-invalid", "false");
  };
  slider.addEventListener("input", () => {
    const place = Number(slider.value);
    if (isNone(place)) { set(null, none); update(); return; }
    const value = low * (high / low) ** (place / last), words = value < 1e5 ? String(Number(value.toPrecision(name === "loss" ? 4 : 3))) : plainFlops(value);
    set(Number(words), words);
    update();
  });
  typed.addEventListener("change", () => {
    const text = typed.value.trim();
    if (none !== null && (text === "" || text === none)) { set(null, none, from); update(); return; }
    const { value, refusal } = readNumber(text, COUNTED[name]);
    if (refusal) {
      asked.refusals[name] = refusal;
      typed.setAttribute("aria-invalid", "true");
    } else set(value, undefined, Math.min(last, Math.max(0, last * Math.log(value / low) / Math.log(high / low))));
    update();
  });
  const place = last * Math.log(start / low) / Math.log(high / low);
  if (start === undefined) set(null, none, from); else set(start, start < 1e5 ? String(start) : plainFlops(start), place);
}
