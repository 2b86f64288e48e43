"use strict";
// What `scaling allocate` answers, asked of the same law and the same bootstrap draws: the searches
// of scaling/allocation (problem.py, solving.py, composite.py) and of laws/frontier.py in this language.
//
//   L = Π_i [F + (G + A/N'^alpha + B/D'^beta)^k]_i^weight,   C = D · c(N)
//
// A law is a list of parts [weight, F, G, ln A, alpha, ln B, beta, k (, R_D, R_N)]; N, D, L and C are
// as in Python, losses in nats. A problem is a law and what its tokens are worth: {law, served,
// unique, worth}. A question is {mode, flops, loss, params, tokens, served, unique}.

const LARGEST = 40 * Math.LN10;  // ln D beyond which nothing is reached

// --- the law and its cost --------------------------------------------------------------------------

// ln of the FLOPs of a token, from ln N: kappa is linear between its knots, flat beyond them.
function logCost({ ends: [low, high], kappa }, logN) {
  const place = kappa.length < 2 || !(logN > low) ? 0 : Math.min(1, (logN - low) / (high - low)) * (kappa.length - 1);
  const at = Math.min(Math.floor(place), kappa.length - 2);
  return logN + (at < 0 ? kappa[0] : kappa[at] + (place - at) * (kappa[at + 1] - kappa[at]));
}

function partLoss([, floor, inner, logA, alpha, logB, beta, k], logN, logD) {
  const joined = inner + Math.exp(logA - alpha * logN) + Math.exp(logB - beta * logD);
  return floor + (k === 1 ? joined : joined ** k);
}

// [ln N', ln D'] of a law of repeated data (laws/data_constrained.py).
function saturate([, , , logA, alpha, logB, beta, , rD, rN], logN, logD, logU) {
  const unique = Math.min(logD, logU);
  const fed = (Math.log(alpha) + logA - Math.log(beta) - logB) / alpha + (beta / alpha) * unique;
  const worth = (excess, r) => Math.log(1 + r * -Math.expm1(-Math.expm1(excess) / r));
  const data = unique + worth(logD - unique, rD);
  return [logN > fed ? fed + worth(logN - fed, rN) : logN, data];
}

const knowsRepeats = (law) => law[0].length > 8;

function discount({ unique, worth }, tokens) {
  if (!(tokens > unique)) return tokens;
  return unique - unique * worth * Math.expm1(-(tokens / unique - 1) / worth);
}

function undoDiscount({ unique, worth }, fresh) {
  if (!(fresh > unique)) return fresh;
  const share = (fresh / unique - 1) / worth;
  return share < 1 ? unique * (1 - worth * Math.log1p(-share)) : Infinity;
}

function findLoss(problem, logN, tokens) {
  if (!(tokens > 0)) return Infinity;
  const { law } = problem;
  if (knowsRepeats(law)) {
    return partLoss(law[0], ...saturate(law[0], logN, Math.log(tokens), Math.log(problem.unique ?? Infinity)));
  }
  const logD = Math.log(problem.unique ? discount(problem, tokens) : tokens);
  if (law.length === 1) return partLoss(law[0], logN, logD);
  let sum = 0;
  for (const part of law) sum += part[0] * Math.log(partLoss(part, logN, logD));
  return Math.exp(sum);
}

// D at which N parameters reach a loss; Infinity where none does.
function findTokens(problem, logN, loss) {
  const { law } = problem;
  if (law.length === 1 && !knowsRepeats(law)) {
    const [, floor, inner, logA, alpha, logB, beta, k] = law[0];
    const gap = Math.max(0, loss - floor) ** (1 / k) - inner - Math.exp(logA - alpha * logN);
    const fresh = gap > 0 ? Math.exp((logB - Math.log(gap)) / beta) : Infinity;
    return problem.unique ? undoDiscount(problem, fresh) : fresh;
  }
  const reached = (logD) => findLoss(problem, logN, Math.exp(logD)) <= loss;
  return reached(LARGEST) ? Math.exp(findCrossing(reached, 0, LARGEST, 60)) : Infinity;
}

// --- searches (laws/searching.py) -------------------------------------------------------------------

function findCrossing(isBeyond, low, high, halvings) {
  let width = high - low;
  for (let step = 0; step < halvings; step += 1) {
    width /= 2;
    if (!isBeyond(low + width)) low += width;
  }
  return low + width;
}

function findLowest(value, centre, reach, points, zooms) {
  for (let zoom = 0; zoom <= zooms; zoom += 1) {
    const count = points[Math.min(zoom, 1)];
    let best = Infinity, at = centre - reach;
    for (let place = 0; place < count; place += 1) {
      const here = centre + reach * (2 * place / (count - 1) - 1);
      const found = value(here);
      if (found < best) [best, at] = [found, here];
    }
    centre = at;
    reach *= 2 / (count - 1);
  }
  return centre;
}

// --- the best N of a budget, of training and service, or for a loss; each as ln N -------------------

// With C = kappa·N·D: in closed form for one part, as L falls with what stands inside its power.
function splitBudget(law, logShare) {
  if (law.length === 1 && !knowsRepeats(law)) {
    const [, , , logA, alpha, logB, beta] = law[0];
    return (Math.log(alpha) + logA - Math.log(beta) - logB + beta * logShare) / (alpha + beta);
  }
  const loss = (logN) => findLoss({ law }, logN, Math.exp(logShare - logN));
  return findLowest(loss, logShare / 2, 10 * Math.LN10, [41, 41], 4);
}

function findFrontier(law, cost, logC) {
  let logN = splitBudget(law, logC - logCost(cost, 0));
  if (cost.kappa.every((one) => one === cost.kappa[0])) return logN;
  for (let round = 0; round < 2; round += 1) logN = splitBudget(law, logC - (logCost(cost, logN) - logN));
  const problem = { law };
  return findLowest((at) => findLoss(problem, at, Math.exp(logC - logCost(cost, at))), logN, Math.log(30), [33, 33], 5);
}

// The grids of problem.py; the last zooms of a draw's would only refine what an interval rounds off.
const ZOOMS = { point: [7, 30], draw: [5, 18] };

function findBest(table, problem, logTotal, zooms) {
  const saved = table.share * problem.served, total = Math.exp(logTotal);
  const loss = (logN) => findLoss(problem, logN, total / Math.exp(logCost(table.cost, logN)) - saved);
  return findLowest(loss, splitBudget(problem.law, logTotal - logCost(table.cost, 0)), 32, [129, 17], zooms);
}

function findWithin(table, problem, flops, [zooms, halvings]) {
  const logC = Math.log(flops);
  if (!problem.served) return findBest(table, problem, logC, zooms);
  const saved = table.share * problem.served;
  const best = (logTotal) => findBest(table, problem, logTotal, zooms);
  const trainsTooMuch = (logTotal) =>
    Math.exp(logTotal) - saved * Math.exp(logCost(table.cost, best(logTotal))) >= flops;
  const largest = findBest(table, { ...problem, served: 0 }, logC, zooms);
  const ceiling = flops + saved * Math.exp(logCost(table.cost, largest));
  return best(findCrossing(trainsTooMuch, logC, Math.log(ceiling) + 1e-6, halvings));
}

function findCheapest(table, problem, loss, near, zooms) {
  const saved = table.share * problem.served;
  const cost = (logN) => Math.exp(logCost(table.cost, logN)) * (findTokens(problem, logN, loss) + saved);
  const logN = findLowest(cost, splitBudget(problem.law, Math.log(near) - logCost(table.cost, 0)), 32, [129, 17], zooms);
  return Number.isFinite(cost(logN)) ? logN : Infinity;
}

// --- a question -------------------------------------------------------------------------------------

// {params, tokens, flops} of one law.
function follow(table, problem, asked, loss, effort) {
  const each = (logN) => Math.exp(logCost(table.cost, logN));
  const finish = (logN, tokens) => {
    const there = Number.isFinite(logN) && Number.isFinite(tokens);
    return there ? { params: Math.exp(logN), tokens, flops: tokens * each(logN) } : { params: Infinity, tokens: Infinity, flops: Infinity };
  };
  if (asked.mode === "loss") {
    const logN = findCheapest(table, problem, loss, table.covered.C[1], effort[0]);
    return finish(logN, Number.isFinite(logN) ? findTokens(problem, logN, loss) : Infinity);
  }
  if (asked.mode === "both") return finish(Math.log(asked.params), asked.tokens);
  let logN;
  if (asked.mode === "params") logN = Math.log(asked.params);
  else if (asked.mode === "tokens") logN = findCrossing((at) => asked.tokens * each(at) >= asked.flops, -LARGEST, LARGEST, 60);
  else if (isPlain(asked)) logN = findFrontier(problem.law, table.cost, Math.log(asked.flops));
  else logN = findWithin(table, problem, asked.flops, effort);
  return finish(logN, asked.mode === "tokens" ? asked.tokens : asked.flops / each(logN));
}

const isPlain = (asked) => asked.mode === "budget" && !asked.served && !asked.unique;

function countDecades(value, [low, high]) {
  return Math.max(0, Math.log10(value / high), Math.log10(low / value));
}

// What the answer asks of C, N and D beside the data (allocation/composite.py); D/N is judged, not refused.
function listDistances(table, asked, one) {
  const free = asked.mode === "budget" || asked.mode === "loss";
  const names = free && !asked.served ? ["C"] : ["C", "N", "D"];
  const values = { C: one.flops, N: one.params, D: one.tokens, "D/N": one.tokens / one.params };
  return [...names, "D/N"].filter((name) => table.covered[name]).map((name) => {
    const ends = table.covered[name];
    return { name, value: values[name], ends, decades: countDecades(values[name], ends), span: Math.log10(ends[1] / ends[0]) };
  });
}

// The answer without intervals, or {refusal} in words.
function answerPoint(table, asked) {
  const one = followLaw(table, asked);
  if (one.refusal) return one;
  one.distances = listDistances(table, asked, one);
  const counted = one.distances.filter(({ name }) => name !== "D/N");
  const far = counted.find(({ decades }) => decades > table.decades);
  if (far) {
    return { refusal: `${far.name} = ${plainFlops(far.value)} lies ${far.decades.toFixed(1)} decades ${far.value > far.ends[1] ? "above" : "below"} the data (${plainFlops(far.ends[0])} to ${plainFlops(far.ends[1])}); beyond ${table.decades} no answer was tested. The command line answers with --far.` };
  }
  one.decades = Math.max(...counted.map(({ decades }) => decades));
  one.epochs = asked.unique ? one.tokens / asked.unique : null;
  if (one.epochs > table.epochs && !knowsRepeats(table.law)) {
    return { refusal: `The answer would pass ${threeDigits(one.epochs)} times over ${formatCount(asked.unique)} unique tokens; beyond ${table.epochs} passes only runs that repeat their data can judge. Ask with more unique tokens or less compute.` };
  }
  return one;
}

function pose(table, law, asked, at) {
  return { law, served: asked.served || 0, unique: asked.unique || null, worth: table.worths[at % table.worths.length] };
}

function followLaw(table, asked) {
  const problem = pose(table, table.law, asked, 0);
  const one = follow(table, problem, asked, asked.loss, ZOOMS.point);
  if (!Number.isFinite(one.flops)) return { refusal: "No compute reaches that loss by this law. Ask for a higher loss." };
  if (Math.min(one.params, one.tokens, one.flops) < 1) return { refusal: "These conditions lead to less than one parameter or token." };
  return { ...one, loss: findLoss(problem, Math.log(one.params), one.tokens) };
}

// --- intervals --------------------------------------------------------------------------------------

// As fitting/intervals.py; a draw without an answer lies above all others.
function findInterval(draws, level, answer) {
  const ordered = Float64Array.from(draws).sort(), open = ordered.at(-1) === Infinity;
  const [low, high] = [0.5 - level / 2, 0.5 + level / 2].map((share) => {
    if (open) return ordered[Math.max(0, Math.ceil(ordered.length * share - 1))];
    const place = (ordered.length - 1) * share, below = Math.floor(place);
    return ordered[below] + (place - below) * (ordered[Math.min(below + 1, ordered.length - 1)] - ordered[below]);
  });
  return [Math.min(low, answer), Math.max(high, answer)];
}

// For each part of the ensemble, ln of the factor by which its draws' losses move towards the ensemble's
// (allocation/uncertainty.py).
function listPulls(table, asked, one) {
  const problem = pose(table, table.law, asked, 0), logN = Math.log(one.params);
  const loss = (law) => findLoss({ ...problem, law }, logN, one.tokens), whole = loss(table.law);
  return table.law.map((part) => table.pull * Math.log(whole / loss([[1, ...part.slice(1)]])));
}

// What draw `at` answers: {params, tokens, flops, loss}, moved by model error as in allocation/.
function followDraw(table, asked, one, at) {
  const root = Math.sqrt(one.decades), { drift } = table;
  const problem = pose(table, table.draws[at], asked, at);
  const pull = table.picks ? (one.pulls ??= listPulls(table, asked, one))[table.picks[at]] : 0;
  const error = Math.exp(root * drift.loss[at] + pull);
  const found = follow(table, problem, asked, asked.loss / error, ZOOMS.draw);
  if (!Number.isFinite(found.flops)) return found;
  const loss = asked.mode === "loss" ? null : findLoss(problem, Math.log(found.params), found.tokens) * error;
  if (asked.mode !== "budget" && asked.mode !== "loss") return { ...found, loss };
  const params = found.params * Math.exp(root * drift.params[at]);
  return { params, tokens: found.flops / Math.exp(logCost(table.cost, Math.log(params))), flops: found.flops, loss };
}

// Intervals of what the question leaves open; what is stated has none.
function gatherIntervals(table, asked, one, found) {
  const open = { budget: ["params", "tokens", "loss"], loss: ["params", "tokens", "flops"] }[asked.mode] ?? ["loss"];
  const ranges = Object.fromEntries(open.map((name) => [name, findInterval(found.map((each) => each[name]), table.level, one[name])]));
  return { ranges, lost: found.filter(({ params }) => params === Infinity).length / found.length };
}
