"use strict";
// The data, its units, the filters, and the one selected candidate, which every part of the page shows.
const data = JSON.parse(document.getElementById("data").textContent);
const byId = id => document.getElementById(id);
const metrics = Object.fromEntries(data.metrics.map(m => [m.name, m]));
const feasible = data.trials.filter(t => t.verdict === "feasible");
const isTimed = t => t.fidelity === "timeline";
const timed = feasible.filter(isTimed);
const front = new Set(data.front);
const linked = () => { const found = /^#trial=(\d+)$/.exec(location.hash); return found ? Number(found[1]) : null; };
let selected = linked() ?? data.knee, sortBy = data.objectives[0], descending = false;

const unitOf = name => metrics[name]?.unit ?? {bound_ns: "ns", bound_period_ns: "ns"}[name] ?? "";
const known = value => value !== null && value !== undefined && value !== "";
function show(value, name) {
  if (!known(value)) return "\u2013";
  if (name === "fidelity") return value === "timeline" ? "timed" : "estimate";
  if (typeof value !== "number") return String(value);
  if (name === "accuracy") return value.toFixed(1);
  if (name === "gap") return `${(100 * value).toFixed(1)} %`;
  const unit = unitOf(name), steps = data.scales[unit];
  const [factor, text] = steps ? steps.find(([f]) => Math.abs(value) >= f) ?? steps.at(-1) : [1, {mm2: "mm\u00b2", "images/s": "/s"}[unit] ?? ""];
  const number = value / factor, whole = Number.isInteger(number);
  return `${number.toLocaleString("en", whole ? {} : {maximumSignificantDigits: 4})} ${text.replace(/^u/, "\u00b5").replace(" ", "\u00b7")}`.trim();
}
const title = name => metrics[name]?.title ?? name.replaceAll("_", " ");
const heading = name => metrics[name]?.short ?? name.replaceAll("_", " ");

function make(tag, text, attributes = {}) {
  const element = Object.assign(document.createElement(tag), attributes);
  if (text !== undefined) element.textContent = text;
  return element;
}

// ---------------------------------------------------------------- filters
const ticked = kind => new Set([...byId(kind).querySelectorAll("input:checked")].map(i => i.value));
function shown() {
  const p = ticked("pipelines"), s = ticked("solvers");
  return (byId("estimates").checked ? feasible : timed).filter(t => p.has(t.pipeline) && s.has(t.solver));
}
function frontOf(points, x, y) {
  const sx = metrics[x].maximize ? -1 : 1, sy = metrics[y].maximize ? -1 : 1;
  const sorted = points.filter(t => known(t[x]) && known(t[y])).sort((a, b) => sx * (a[x] - b[x]) || sy * (a[y] - b[y]));
  let best = Infinity;
  return sorted.filter(t => { if (sy * t[y] < best) { best = sy * t[y]; return true; } return false; });
}
function controls() {
  for (const m of data.metrics) for (const id of ["x", "y"]) byId(id).append(make("option", m.title, {value: m.name}));
  byId("y").value = data.objectives[0]; byId("x").value = data.objectives[1];
  for (const name of ["pipeline", ...data.metrics.map(m => m.name), ...data.parameters.filter(n => feasible.some(t => typeof t[n] === "number"))])
    byId("colour").append(make("option", title(name), {value: name}));
  byId("colour").addEventListener("change", scatter);
  for (const [kind, look] of [["pipelines", name => swatch(symbols[0], `var(--${name})`)], ["solvers", name => swatch(symbolOf(name), "var(--axis)")]])
    for (const name of data[kind]) {
      const label = make("label"), box = make("input", undefined, {type: "checkbox", checked: true, value: name});
      box.addEventListener("change", filter);
      label.append(box, look(name), name); byId(kind).append(label);
    }
  for (const kind of ["pipelines", "solvers"]) byId(kind).classList.toggle("screen", data[kind].length < 2);
  byId("estimatesbox").hidden = data.fidelity !== "cost";
  byId("estimates").addEventListener("change", filter);
  for (const id of ["x", "y", "log"]) byId(id).addEventListener("change", () => { zoom = null; scatter(); });
  byId("whole").addEventListener("click", () => { zoom = null; scatter(); });
  byId("near").addEventListener("click", () => { zoom = nearFront(); scatter(); });
  byId("all").addEventListener("change", table);
  byId("chart").addEventListener("keydown", e => { const by = {ArrowLeft: -1, ArrowRight: 1}[e.key]; if (by) { e.preventDefault(); step(by); } });
}
function filter() { scatter(); table(); }

// ---------------------------------------------------------------- the selected candidate
function choose(number) {
  selected = number;
  const here = `#trial=${number}`;
  if (location.hash !== here) location.replace(location.href.split("#")[0] + here);
  detail(); scatter(); table(); parallel(); inside(); compare(); whatIf();
}
function step(by) {
  const line = frontOf(shown().filter(isTimed), byId("x").value, byId("y").value).map(t => t.trial);
  if (!line.length) return;
  const at = line.indexOf(selected);
  choose(line[at < 0 ? 0 : Math.min(Math.max(at + by, 0), line.length - 1)]);
}
function detail() {
  const t = data.trials.find(t => t.trial === selected), list = byId("detail");
  list.replaceChildren();
  byId("chosen").textContent = t ? `Trial ${t.trial}` : selected === null ? "No candidate selected" : `There is no trial ${selected}`;
  byId("pick").textContent = `pimdse pick ${data.folder}${t ? ` --trial ${t.trial}` : ""}`;
  if (!t) return;
  let rule = "";
  const row = (name, text, kind = "") => { list.append(make("dt", name, {className: rule}), make("dd", text, {className: kind})); rule = ""; };
  row("pipeline", t.pipeline); row("solver", t.solver);
  if (t.verdict !== "feasible") row(t.verdict, t.reason, "long");
  else { row("its answer", show(t.solver_status)); row("figures", isTimed(t) ? "of its program" : "estimates"); }
  const proofs = data.proofs.filter(p => p.trial === t.trial);
  if (proofs.length) row("executed", proofs.some(p => p.executed && !p.passed) ? "yes, WRONG" : proofs.every(p => p.passed) ? "yes, right" : "not possible");
  rule = "rule";
  for (const name of data.parameters) row(title(name), show(t[name], name));
  rule = "rule";
  for (const m of data.metrics) row(m.title, show(t[m.name], m.name));
  rule = "rule";
  row("no program is faster than", show(t.bound_ns, "bound_ns")); row("gap to it", show(t.gap, "gap"));
  row("no period is shorter than", show(t.bound_period_ns, "bound_period_ns"));
  row("cores used", show(t.cores_used)); row("instructions per round", show(t.instructions_per_round));
}

// ---------------------------------------------------------------- tables and texts
const columns = ["trial", "fidelity", "pipeline", "solver", ...data.metrics.map(m => m.name).filter(n => n !== "edp_pj_ns" && n !== "throughput_per_s"), "gap", ...data.parameters];
const isText = name => ["fidelity", "pipeline", "solver"].includes(name);
function head(name) {
  const th = make("th", undefined, {title: title(name), scope: "col", className: isText(name) ? "text" : ""}), button = make("button", heading(name));
  if (name === sortBy) th.setAttribute("aria-sort", descending ? "descending" : "ascending");
  button.addEventListener("click", () => { descending = name === sortBy && !descending; sortBy = name; table(); });
  th.append(button);
  return th;
}
function line(t, columns) {
  const tr = make("tr");
  if (t.trial === selected) tr.setAttribute("aria-current", "true");
  for (const name of columns) tr.append(make("td", name === "trial" ? undefined : show(t[name], name), {className: isText(name) ? "text" : ""}));
  const first = tr.cells[0];
  first.append(make("a", t.trial, {href: `#trial=${t.trial}`}));
  if (t.trial === data.knee) first.append(make("span", "knee", {className: "tag"}));
  if (t.trial === data.published) first.append(make("span", "file's chip", {className: "tag own"}));
  tr.addEventListener("click", e => { if (!e.ctrlKey && !e.metaKey) { e.preventDefault(); choose(t.trial); } });
  return tr;
}
function tableRows() {
  const rows = shown().filter(t => byId("all").checked || front.has(t.trial));
  return rows.sort((a, b) => known(b[sortBy]) - known(a[sortBy]) || (descending ? -1 : 1) * (a[sortBy] > b[sortBy] ? 1 : a[sortBy] < b[sortBy] ? -1 : 0));
}
function table() {
  const everything = byId("all").checked, rows = tableRows();
  byId("tabletitle").textContent = everything ? (byId("estimates").checked ? "All feasible candidates" : "All timed candidates") : `The front: ${data.objectives.map(title).join(" against ")}`;
  // What is the same in every row is said once, below.
  const order = make("tr"), there = columns.filter(n => rows.some(t => known(t[n])));
  const constant = there.filter(n => rows.length > 1 && n !== "trial" && !data.objectives.includes(n) && rows.every(t => t[n] === rows[0][n]));
  const some = there.filter(n => !constant.includes(n));
  byId("constant").textContent = constant.length ? `The same in every row: ${constant.map(n => `${heading(n)} ${show(rows[0][n], n)}`).join(", ")}.` : "";
  order.append(...some.map(head));
  byId("table").tHead.replaceChildren(order);
  byId("table").tBodies[0].replaceChildren(...rows.map(t => line(t, some)));
}
function tiles() {
  const tile = (text, name) => { const box = make("div", undefined, {className: "tile"}); box.append(make("b", text), make("span", name)); byId("tiles").append(box); };
  const count = n => n.toLocaleString("en"), all = data.enumeration;
  if (all) tile(count(all.points), `points in the space, ${count(all.feasible)} feasible; the best ${count(all.kept)} are below`);
  else tile(count(feasible.length), `feasible candidates of ${count(data.trials.length)}`);
  if (data.fidelity === "cost") tile(timed.length, "of them timed");
  tile(front.size, "on the Pareto front");
  for (const name of data.objectives) {
    if (!timed.length) continue;
    const values = timed.map(t => t[name]);
    tile(show(metrics[name].maximize ? Math.max(...values) : Math.min(...values), name), `${metrics[name].maximize ? "highest" : "lowest"} ${title(name)}`);
  }
  const own = data.trials.find(t => t.trial === data.published);
  if (own) tile(show(own[data.objectives[0]], data.objectives[0]), `${title(data.objectives[0])}, the file's chip (${own.crossbars.toLocaleString("en")} crossbars)`);
}
function reasons() {
  const body = byId("reasons").tBodies[0];
  for (const r of data.reasons) {
    const tr = body.insertRow();
    tr.append(make("td", r.resource, {className: "what"}), make("td", r.count), make("td", r.example, {className: "long"}));
  }
  if (!data.reasons.length) body.insertRow().append(make("td", "Every candidate is feasible.", {colSpan: 3, className: "text"}));
}
function commands() {
  byId("command").textContent = data.command;
  byId("again").textContent = `pimdse pick ${data.folder} --trial ${data.knee ?? "N"}\npimdse reproduce ${data.folder}/pick`;
  byId("versions").textContent = "Made with " + Object.entries(data.versions).map(([k, v]) => `${k} ${v}`).join(", ") + "." + (data.network ? ` Network digest ${data.network.slice(0, 16)}.` : "");
  for (const pre of document.querySelectorAll("pre")) {
    const box = make("div", undefined, {className: "command"}), button = make("button", "Copy", {ariaLive: "polite"});
    pre.replaceWith(box); box.append(pre, button);
    button.addEventListener("click", async () => { button.textContent = await copy(pre); setTimeout(() => { button.textContent = "Copy"; }, 2000); });
  }
}
// Browsers that keep the clipboard from pages in files get the text marked instead.
async function copy(pre) {
  try { await navigator.clipboard.writeText(pre.textContent); return "Copied"; } catch {
    getSelection().selectAllChildren(pre);
    return document.execCommand("copy") ? "Copied" : "Press Ctrl+C";
  }
}
function start() {
  controls(); key(); tiles(); commands(); reasons(); importance(); insideMenu(); compareMenu(); whatifMenu(); exports();
  detail(); table(); inside(); compare(); whatIf(); charts();
  new ResizeObserver(charts).observe(document.querySelector("main"));
  window.addEventListener("hashchange", () => { const number = linked(); if (number !== null && number !== selected) choose(number); });
}
