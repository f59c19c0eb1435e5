// The page of `skete cost serve`. All that Pods say is put in as text, never as markup.
"use strict";

const SVG = "http://www.w3.org/2000/svg";
const SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE, DAY = 24 * HOUR;
const PERIODS = {
  hour: { length: HOUR, step: MINUTE },
  day: { length: DAY, step: 30 * MINUTE },
  week: { length: 7 * DAY, step: 6 * HOUR },
  month: { length: 30 * DAY, step: DAY },
};
const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600, 86400].map((s) => s * SECOND);
const BARS = 120;
const COLOURS = 7;
const GIB = 2 ** 30;
const $ = (id) => document.getElementById(id);

let currency = "USD";
let turn = 0;
let zoom = [];
let bars = [];
let cursor = -1;
let uid = "";

function element(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

function shape(name, attributes, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

function money(value) {
  const small = value !== 0 && Math.abs(value) < 1;
  const digits = small ? { maximumSignificantDigits: 4 } : { maximumFractionDigits: 2 };
  return new Intl.NumberFormat(undefined, { style: "currency", currency, ...digits }).format(value);
}

function number(value) {
  return new Intl.NumberFormat(undefined, { maximumSignificantDigits: 4 }).format(value);
}

function duration(minutes) {
  const seconds = minutes * 60;
  if (seconds < 120) return `${number(seconds)} s`;
  if (seconds < 7200) return `${number(minutes)} min`;
  return `${number(minutes / 60)} h`;
}

function clock(time, step) {
  const options = step >= DAY ? { day: "numeric", month: "short" }
    : step >= HOUR ? { weekday: "short", hour: "2-digit", minute: "2-digit" }
      : step >= MINUTE ? { hour: "2-digit", minute: "2-digit" }
        : { hour: "2-digit", minute: "2-digit", second: "2-digit" };
  return new Intl.DateTimeFormat(undefined, options).format(time);
}

async function ask(parameters) {
  const response = await fetch(`allocation?${new URLSearchParams(parameters)}`);
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.message);
  return answer;
}

function tell(problem) {
  $("problem").textContent = problem || "";
  $("problem").hidden = !problem;
}

// ---- spend by Namespace

function period() {
  const chosen = PERIODS[document.querySelector("input[name=period]:checked").value];
  const end = Math.ceil((Date.now() + 1) / chosen.step) * chosen.step;
  return { ...chosen, start: end - chosen.length, end };
}

function between(start, end) {
  return `${new Date(start).toISOString()},${new Date(end).toISOString()}`;
}

async function load() {
  const mine = ++turn;
  const chosen = period();
  const window = between(chosen.start, chosen.end);
  try {
    const [spend, pods] = await Promise.all([
      ask({ window, aggregate: "namespace", step: `${chosen.step / SECOND}s` }),
      ask({ window, aggregate: "namespace,pod" }),
    ]);
    if (mine !== turn) return;
    tell(spend.warning);
    showSpend(spend.data, chosen);
    showTop(Object.values(pods.data[0]));
  } catch (error) {
    if (mine === turn) tell(error.message);
  }
}

function showSpend(sets, chosen) {
  const sums = new Map();
  for (const set of sets) {
    for (const [name, one] of Object.entries(set)) sums.set(name, (sums.get(name) || 0) + one.totalCost);
  }
  const names = [...sums.keys()].sort((a, b) => sums.get(b) - sums.get(a));
  const colour = new Map(names.map((name, index) => [name, Math.min(index, COLOURS)]));
  const total = [...sums.values()].reduce((a, b) => a + b, 0);
  $("total").textContent = money(total);
  $("span").textContent = `since ${clock(chosen.start, Math.min(chosen.step * 2, DAY))}`;
  const stacks = sets.map((set, index) => {
    const time = chosen.start + index * chosen.step;
    const parts = names.filter((name) => set[name]).map((name) => ({ value: set[name].totalCost, colour: colour.get(name), name }));
    const sum = parts.reduce((a, b) => a + b.value, 0);
    return { time, parts, title: `${clock(time, chosen.step)}: ${money(sum)}` };
  });
  const label = `Spend by Namespace over time: ${money(total)} in all. ` + names.map((name) => `${name}: ${money(sums.get(name))}`).join(", ");
  $("chart").replaceChildren(chart(stacks, chosen.step, label, money));
  const items = names.slice(0, COLOURS).map((name) => legend(colour.get(name), `${name} ${money(sums.get(name))}`));
  const rest = names.slice(COLOURS);
  if (rest.length) {
    const sum = rest.reduce((a, name) => a + sums.get(name), 0);
    items.push(legend(COLOURS, `${rest.length} more ${money(sum)}`));
  }
  $("legend").replaceChildren(...items);
}

function legend(colour, text) {
  const item = element("li");
  const mark = shape("svg", { viewBox: "0 0 10 10", "aria-hidden": "true" });
  mark.append(shape("rect", { width: 10, height: 10, rx: 2, class: `s${colour}` }));
  item.append(mark, element("span", text));
  return item;
}

// The next number up that reads well on an axis.
function round(value) {
  const unit = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 3, 4, 5, 6, 8, 10].map((digit) => digit * unit).find((nice) => nice >= value * 0.999) || value;
}

function chart(stacks, step, label, shown) {
  // As wide as it is shown, so that its text has one size.
  const width = Math.max(300, Math.round(Math.min(innerWidth, 1216) - (innerWidth < 640 ? 66 : 130)));
  const height = width < 600 ? 180 : 240, left = 76, bottom = 24, top = 10;
  const svg = shape("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label });
  const sums = stacks.map((stack) => stack.parts.reduce((a, b) => a + b.value, 0));
  const most = round(Math.max(...sums, ...stacks.map((stack) => stack.line || 0)) || 1);
  const high = height - bottom - top, y = (value) => top + high - (value / most) * high;
  const wide = (width - left) / Math.max(1, stacks.length);
  for (const share of [0, 0.5, 1]) {
    svg.append(shape("line", { x1: left, x2: width, y1: y(most * share), y2: y(most * share), class: "grid" }));
    svg.append(shape("text", { x: left - 8, y: y(most * share) + 4, "text-anchor": "end" }, shown(most * share)));
  }
  stacks.forEach((stack, index) => {
    let base = 0;
    for (const part of stack.parts) {
      const rect = shape("rect", {
        x: left + index * wide + wide * 0.1, width: wide * 0.8,
        y: y(base + part.value), height: Math.max(0, y(base) - y(base + part.value)), class: `s${part.colour}`,
      });
      rect.append(shape("title", {}, part.name ? `${stack.title}\n${part.name}: ${shown(part.value)}` : stack.title));
      svg.append(rect);
      base += part.value;
    }
  });
  const labels = Math.max(1, Math.ceil(stacks.length / Math.floor((width - left) / 90)));
  stacks.forEach((stack, index) => {
    if (index % labels === 0 && left + index * wide + 70 < width) {
      svg.append(shape("text", { x: left + index * wide, y: height - 6 }, clock(stack.time, step)));
    }
  });
  const line = stacks.map((stack, index) => stack.line === undefined ? null : `${left + (index + 0.1) * wide},${y(stack.line)} ${left + (index + 0.9) * wide},${y(stack.line)}`);
  if (line.some(Boolean)) svg.append(shape("polyline", { points: line.filter(Boolean).join(" "), class: "used" }));
  svg.place = (index) => ({ x: left + index * wide, width: wide, y: top, height: high });
  return svg;
}

// ---- top Pods

function showTop(pods) {
  pods.sort((a, b) => b.totalCost - a.totalCost);
  const rows = pods.slice(0, 25).map((pod) => {
    const row = element("tr");
    const name = element("td");
    const button = element("button", pod.properties.pod);
    button.type = "button";
    button.title = pod.properties.pod;
    button.addEventListener("click", () => open(pod));
    name.append(button);
    row.append(name, element("td", pod.properties.namespace), element("td", duration(pod.minutes), "n wide"),
      element("td", number(pod.cpuCoreHours), "n wide"), element("td", number(pod.ramByteHours / GIB), "n wide"),
      element("td", money(pod.totalCost), "n"));
    return row;
  });
  $("top").replaceChildren(...rows);
  $("none").hidden = rows.length > 0;
  const linked = pods.find((pod) => location.hash === `#${encodeURIComponent(pod.properties.uid)}`);
  if (linked && $("one").hidden) open(linked);
}

// ---- one Pod; the address names it by its UID

function open(pod) {
  uid = pod.properties.uid;
  history.replaceState(null, "", `#${encodeURIComponent(uid)}`);
  $("name").textContent = `${pod.properties.namespace}/${pod.properties.pod}`;
  const labels = Object.entries(pod.properties.labels || {}).map(([key, value]) => `${key}=${value}`).join(", ");
  const controller = pod.properties.controller ? `${pod.properties.controllerKind} ${pod.properties.controller}` : "none";
  const facts = [["Cost", money(pod.totalCost)], ["Time", duration(pod.minutes)], ["Controller", controller], ["Node", pod.properties.node], ["UID", uid], ["Labels", labels || "none"]];
  $("facts").replaceChildren(...facts.map(([key, value]) => {
    const fact = element("div");
    fact.append(element("dt", key), element("dd", value));
    return fact;
  }));
  zoom = [[Math.floor(Date.parse(pod.start) / SECOND) * SECOND, Math.ceil(Date.parse(pod.end) / SECOND) * SECOND]];
  $("one").hidden = false;
  look();
  $("name").focus();
}

async function look() {
  const [start, end] = zoom[zoom.length - 1];
  const step = STEPS.find((step) => (end - start) / step <= BARS) || Math.ceil((end - start) / BARS / DAY) * DAY;
  const asked = uid;
  try {
    const answer = await ask({ window: between(start, end), aggregate: "pod", step: `${step / SECOND}s`, filter: `uid:"${uid}"` });
    if (asked !== uid) return;
    bars = answer.data.map((set, index) => ({ time: start + index * step, step, one: Object.values(set)[0] }));
    showRecord(step);
  } catch (error) {
    tell(error.message);
  }
}

function words(bar) {
  const one = bar.one;
  if (!one) return `${clock(bar.time, SECOND)}: nothing`;
  return `${clock(bar.time, SECOND)}: ${money(one.totalCost)}, ${number(one.cpuCores)} vCPU (${number(one.cpuCoreUsageAverage)} used), ` +
    `${number(one.ramBytes / GIB)} GiB (${number(one.ramByteUsageAverage / GIB)} used)`;
}

function showRecord(step) {
  const stacks = bars.map((bar) => ({
    time: bar.time, title: words(bar),
    parts: bar.one ? [{ value: bar.one.cpuCores, colour: 0 }] : [],
    line: bar.one ? bar.one.cpuCoreUsageAverage : undefined,
  }));
  const svg = chart(stacks, Math.min(step, MINUTE - 1), `vCPUs of the Pod and how much of them was used, ${bars.length} steps of ${step / SECOND} s`, number);
  svg.setAttribute("tabindex", "0");
  svg.addEventListener("keydown", (event) => {
    const move = { ArrowLeft: -1, ArrowRight: 1, Home: -bars.length, End: bars.length }[event.key];
    if (move) point(Math.max(0, Math.min(bars.length - 1, cursor + move)));
    else if (event.key === "Enter") closer();
    else return;
    event.preventDefault();
  });
  const at = (event) => {
    const box = svg.getBoundingClientRect();
    const place = svg.place(0);
    const x = (event.clientX - box.left) * svg.viewBox.baseVal.width / box.width;
    return Math.max(0, Math.min(bars.length - 1, Math.floor((x - place.x) / place.width)));
  };
  svg.addEventListener("pointermove", (event) => point(at(event)));
  svg.addEventListener("click", closer);
  $("record").replaceChildren(svg);
  $("hint").textContent = `vCPUs given (bars) and used (line), a bar for ${duration(step / MINUTE)}. ` + (step > SECOND ? "Click, or press Enter, to look closer." : "This is the closest look.");
  $("readout").textContent = "";
  $("out").disabled = zoom.length === 1;
  cursor = -1;
  $("rows").replaceChildren(...bars.filter((bar) => bar.one).map(({ time, one }) => {
    const row = element("tr");
    row.append(element("td", clock(time, SECOND)), element("td", number(one.cpuCores), "n"), element("td", number(one.cpuCoreUsageAverage), "n"),
      element("td", `${number(one.ramBytes / GIB)} GiB`, "n"), element("td", `${number(one.ramByteUsageAverage / GIB)} GiB`, "n"), element("td", money(one.totalCost), "n"));
    return row;
  }));
}

function point(index) {
  if (index === cursor) return;
  cursor = index;
  const svg = $("record").firstChild;
  svg.querySelector(".cursor")?.remove();
  svg.append(shape("rect", { ...svg.place(index), class: "cursor", "pointer-events": "none" }));
  $("readout").textContent = words(bars[index]);
}

function closer() {
  const step = bars[0]?.step;
  if (cursor < 0 || step === SECOND) return;
  const [first, last] = zoom[zoom.length - 1];
  const half = Math.max(30 * SECOND, 6 * step);
  const middle = Math.floor(bars[cursor].time / SECOND) * SECOND;
  zoom.push([Math.max(first, middle - half), Math.min(last, middle + half)]);
  look();
}

$("out").addEventListener("click", () => { zoom.pop(); look(); });
$("close").addEventListener("click", () => { uid = ""; history.replaceState(null, "", "#"); $("one").hidden = true; $("pods").scrollIntoView(); });
$("periods").addEventListener("change", load);
setInterval(() => { if (!document.hidden && $("one").hidden) load(); }, 30 * SECOND);

fetch("prices").then((response) => response.json()).then((list) => {
  currency = list.currency;
  $("prices").textContent = `${list.title}, edition ${list.version}, in ${list.currency}`;
}).catch(() => {}).finally(load);
