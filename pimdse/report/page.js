"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const byId = id => document.getElementById(id);
const metrics = Object.fromEntries(data.metrics.map(m => [m.name, m]));
const feasible = data.trials.filter(t => t.verdict === "feasible");
const timed = feasible.filter(t => t.fidelity === "timeline");
const front = new Set(data.front);
let selected = data.knee, sortBy = data.objectives[0], descending = false;

const scales = {
  ns: [[1e9, "s"], [1e6, "ms"], [1e3, "\u00b5s"], [1, "ns"]],
  pJ: [[1e12, "J"], [1e9, "mJ"], [1e6, "\u00b5J"], [1e3, "nJ"], [1, "pJ"]],
  mW: [[1e3, "W"], [1, "mW"], [1e-3, "\u00b5W"]],
};
function show(value, name) {
  if (value === null || value === undefined || value === "") return "\u2013";
  const unit = (metrics[name] || {unit: ({bound_ns: "ns"})[name] || ""}).unit;
  if (name === "gap") return (100 * value).toFixed(1) + " %";
  if (typeof value !== "number") return String(value);
  const steps = scales[unit];
  if (steps) {
    const [factor, text] = steps.find(([f]) => Math.abs(value) >= f) || steps[steps.length - 1];
    return Number((value / factor).toPrecision(4)).toLocaleString("en") + " " + text;
  }
  if (unit === "bytes") return Number((value / 1024).toPrecision(4)).toLocaleString("en") + " KiB";
  if (unit === "pJ ns") return value.toExponential(3) + " pJ\u00b7ns";
  const number = Number.isInteger(value) ? value : Number(value.toPrecision(4));
  return number.toLocaleString("en") + (unit === "mm2" ? " mm\u00b2" : unit === "images/s" ? " /s" : "");
}
const title = name => metrics[name] ? metrics[name].title : name.replaceAll("_", " ");
const heading = name => metrics[name] ? metrics[name].short : name.replaceAll("_", " ");

function option(list, name) { const o = document.createElement("option"); o.value = name; o.textContent = title(name); list.append(o); }
for (const m of data.metrics) { option(byId("x"), m.name); option(byId("y"), m.name); }
byId("y").value = data.objectives[0]; byId("x").value = data.objectives[1];
for (const kind of ["pipelines", "solvers"]) for (const name of data[kind]) {
  const label = document.createElement("label"), box = document.createElement("input");
  box.type = "checkbox"; box.checked = true; box.value = name; box.addEventListener("change", draw);
  label.append(box, " " + name); byId(kind).append(label);
}
const ticked = kind => new Set([...byId(kind).querySelectorAll("input:checked")].map(i => i.value));
function shown() {
  const p = ticked("pipelines"), s = ticked("solvers");
  return (byId("estimates").checked ? feasible : timed).filter(t => p.has(t.pipeline) && s.has(t.solver));
}

function frontOf(points, x, y) {
  const sx = metrics[x].maximize ? -1 : 1, sy = metrics[y].maximize ? -1 : 1;
  const sorted = [...points].sort((a, b) => sx * (a[x] - b[x]) || sy * (a[y] - b[y]));
  let best = Infinity;
  return sorted.filter(t => { if (sy * t[y] < best) { best = sy * t[y]; return true; } return false; });
}
function hover(t) {
  const lines = [`<b>trial ${t.trial}</b> ${t.pipeline}, ${t.solver}${t.fidelity === "timeline" ? "" : ", estimate"}`];
  for (const name of [byId("y").value, byId("x").value]) lines.push(`${title(name)}: ${show(t[name], name)}`);
  for (const name of data.parameters) lines.push(`${name}: ${t[name]}`);
  if (t.bound_ns) lines.push(`proven bound of the latency: ${show(t.bound_ns, "bound_ns")}, gap ${show(t.gap, "gap")}`);
  return lines.join("<br>");
}
function axis(name, points) {
  const log = byId("log").checked && points.every(t => t[name] > 0);
  const result = {title: {text: title(name), standoff: 10}, type: log ? "log" : "linear", gridcolor: "#e6e9ef", zeroline: false, linecolor: "#c4cad4", ticks: "outside", tickcolor: "#c4cad4", automargin: true};
  const values = points.map(t => t[name]).filter(v => v > 0);
  if (log && values.length) {
    const low = Math.min(...values), high = Math.max(...values), ticks = [];
    const mantissas = high / low < 12 ? [1, 1.5, 2, 3, 4, 5, 6, 8] : [1, 2, 5];
    for (let e = Math.floor(Math.log10(low)) - 1; e <= Math.ceil(Math.log10(high)); e++)
      for (const m of mantissas) ticks.push(m * 10 ** e);
    result.tickvals = ticks; result.ticktext = ticks.map(v => show(v, name));
    const margin = 0.06 * Math.max(Math.log10(high / low), 0.2);
    result.range = [Math.log10(low) - margin, Math.log10(high) + margin];
  }
  return result;
}
// The best that any program could do on the chips up to each size: their proven bounds, as a front of their own.
const bounds = {latency_ns: t => t.bound_ns, period_ns: t => t.bound_period_ns, throughput_per_s: t => 1e9 / t.bound_period_ns};
function boundLine(x, y) {
  if (!bounds[y] || bounds[x]) return [];
  const known = feasible.filter(t => t.bound_ns && t.bound_period_ns).map(t => ({[x]: t[x], [y]: bounds[y](t)}));
  const line = frontOf(known, x, y), last = line[line.length - 1];
  const end = metrics[x].maximize ? Math.min(...feasible.map(t => t[x])) : Math.max(...feasible.map(t => t[x]));
  return last ? [...line, {[x]: end, [y]: last[y]}] : line;
}
function draw() {
  const x = byId("x").value, y = byId("y").value, points = shown(), traces = [];
  const line = frontOf(points.filter(t => t.fidelity === "timeline"), x, y), least = boundLine(x, y);
  if (least.length) traces.push({x: least.map(t => t[x]), y: least.map(t => t[y]), mode: "lines", name: "proven bound", hoverinfo: "skip",
    line: {color: "#7a8494", width: 1.5, dash: "dash", shape: metrics[x].maximize ? "vh" : "hv"}});
  traces.push({x: line.map(t => t[x]), y: line.map(t => t[y]), mode: "lines", name: "front", hoverinfo: "skip",
    line: {color: "#1d2430", width: 1.5, shape: metrics[x].maximize ? "vh" : "hv"}});
  for (const pipeline of data.pipelines) for (const solver of data.solvers) {
    for (const fidelity of ["timeline", "cost"]) {
      const some = points.filter(t => t.pipeline === pipeline && t.solver === solver && t.fidelity === fidelity);
      if (!some.length) continue;
      const real = fidelity === "timeline";
      traces.push({x: some.map(t => t[x]), y: some.map(t => t[y]), mode: "markers", name: `${pipeline}, ${solver}${real ? "" : " (estimate)"}`,
        customdata: some.map(t => t.trial), text: some.map(hover), hovertemplate: "%{text}<extra></extra>",
        marker: {color: data.colours[pipeline], symbol: data.symbols[solver] + (real ? "" : "-open"), size: real ? 10 : 6, opacity: real ? 1 : 0.45, line: {color: real ? "#fff" : data.colours[pipeline], width: 1}}});
    }
  }
  for (const [number, name, colour, size] of [[data.published, "published chip", "#777", 20], [data.knee, "knee", "#009E73", 20], [selected, "selected", "#111", 26]]) {
    const t = points.find(p => p.trial === number);
    if (t) traces.push({x: [t[x]], y: [t[y]], mode: "markers", name, hoverinfo: "skip",
      marker: {symbol: "circle-open", size, color: colour, line: {width: 2}}});
  }
  Plotly.react("chart", traces, {margin: {l: 70, r: 10, t: 30, b: 50}, xaxis: axis(x, points), yaxis: axis(y, [...points, ...least]),
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: {family: "inherit", size: 13, color: "#1d2430"},
    modebar: {bgcolor: "rgba(0,0,0,0)", color: "#9aa3b2", activecolor: "#0072B2"}, legend: {orientation: "h", y: -0.14, x: 0}, hoverlabel: {bgcolor: "#fff", font: {color: "#1d2430"}, align: "left"}},
    {displaylogo: false, responsive: true, modeBarButtonsToRemove: ["select2d", "lasso2d"]});
  table();
}
function choose(number) { selected = number; detail(); draw(); parallel(); if (data.proofs.some(p => p.trial === number)) inside(number); }
function step(by) {
  const line = frontOf(shown().filter(t => t.fidelity === "timeline"), byId("x").value, byId("y").value).map(t => t.trial);
  if (!line.length) return;
  const at = line.indexOf(selected);
  choose(line[at < 0 ? 0 : Math.min(Math.max(at + by, 0), line.length - 1)]);
}

function detail() {
  const t = data.trials.find(t => t.trial === selected), list = byId("detail");
  list.replaceChildren();
  byId("chosen").textContent = t ? `Trial ${t.trial}` : "No candidate selected";
  byId("pick").textContent = t ? `pimdse pick ${data.folder} --trial ${t.trial}` : "";
  if (!t) return;
  const row = (name, text) => { const a = document.createElement("dt"), b = document.createElement("dd"); a.textContent = name; b.textContent = text; list.append(a, b); };
  row("pipeline", t.pipeline); row("solver", t.solver); row("its answer", t.solver_status);
  row("figures", t.fidelity === "timeline" ? "of its program" : "estimates");
  const proofs = data.proofs.filter(p => p.trial === t.trial);
  if (proofs.length) row("executed", proofs.some(p => p.executed && !p.passed) ? "yes, WRONG" : proofs.every(p => p.passed) ? "yes, right" : "not possible");
  list.append(document.createElement("hr"));
  for (const name of data.parameters) row(title(name), show(t[name], name));
  list.append(document.createElement("hr"));
  for (const m of data.metrics) row(m.title, show(t[m.name], m.name));
  list.append(document.createElement("hr"));
  row("no program is faster than", show(t.bound_ns, "bound_ns")); row("gap to it", show(t.gap, "gap"));
  row("no period is shorter than", show(t.bound_period_ns, "bound_ns"));
  row("cores used", show(t.cores_used)); row("instructions", show(t.instructions_per_round));
}
const columns = ["trial", "pipeline", "solver", ...data.metrics.map(m => m.name).filter(n => n !== "edp_pj_ns" && n !== "throughput_per_s"), "gap", ...data.parameters];
const isText = name => name === "pipeline" || name === "solver";
function table() {
  const head = document.createElement("tr");
  for (const name of columns) {
    const th = document.createElement("th");
    th.textContent = heading(name); th.title = title(name); th.tabIndex = 0; th.scope = "col"; th.className = isText(name) ? "text" : "";
    if (name === sortBy) th.setAttribute("aria-sort", descending ? "descending" : "ascending");
    const sort = () => { descending = name === sortBy && !descending; sortBy = name; table(); };
    th.addEventListener("click", sort); th.addEventListener("keydown", e => { if (e.key === "Enter") sort(); });
    head.append(th);
  }
  byId("table").tHead.replaceChildren(head);
  const everything = byId("all").checked, rows = shown().filter(t => everything || front.has(t.trial));
  byId("tabletitle").textContent = everything ? (byId("estimates").checked ? "All feasible candidates" : "All timed candidates") : `The front: ${data.objectives.map(title).join(" against ")}`;
  rows.sort((a, b) => (descending ? -1 : 1) * (a[sortBy] > b[sortBy] ? 1 : a[sortBy] < b[sortBy] ? -1 : 0));
  byId("table").tBodies[0].replaceChildren(...rows.map(t => {
    const tr = document.createElement("tr");
    tr.tabIndex = 0; tr.setAttribute("aria-selected", t.trial === selected);
    for (const name of columns) {
      const td = document.createElement("td");
      td.textContent = name === "trial" ? t.trial : show(t[name], name); td.className = isText(name) ? "text" : "";
      if (name === "trial") for (const [number, text, kind] of [[data.knee, "knee", "tag"], [data.published, "published", "tag own"]])
        if (t.trial === number) { const tag = document.createElement("span"); tag.className = kind; tag.textContent = text; td.append(tag); }
      tr.append(td);
    }
    tr.addEventListener("click", () => choose(t.trial));
    tr.addEventListener("keydown", e => { if (e.key === "Enter" || e.key === " ") { e.preventDefault(); choose(t.trial); } });
    return tr;
  }));
}
function tiles() {
  const tile = (text, name) => { const d = document.createElement("div"), b = document.createElement("b"), s = document.createElement("span"); d.className = "tile"; b.textContent = text; s.textContent = name; d.append(b, s); byId("tiles").append(d); };
  tile(`${feasible.length} / ${data.trials.length}`, "feasible candidates");
  if (data.fidelity === "cost") tile(timed.length, "of them timed");
  tile(front.size, "on the Pareto front");
  for (const name of data.objectives) {
    if (!timed.length) continue;
    const values = timed.map(t => t[name]);
    tile(show(metrics[name].maximize ? Math.max(...values) : Math.min(...values), name), `${metrics[name].maximize ? "highest" : "lowest"} ${title(name)}`);
  }
  const own = data.trials.find(t => t.trial === data.published);
  if (own) tile(show(own[data.objectives[0]], data.objectives[0]), `${title(data.objectives[0])}, chip as published (${own.crossbars.toLocaleString("en")} crossbars)`);
}
function growth() {
  Plotly.newPlot("growth", [{x: data.hypervolume.map((_, i) => i + 1), y: data.hypervolume.map(v => 100 * v), mode: "lines", line: {color: "#0072B2", width: 2, shape: "hv"}, hovertemplate: "after %{x}: %{y:.1f} %<extra></extra>"}],
    {margin: {l: 50, r: 10, t: 6, b: 40}, xaxis: {title: {text: "candidates"}, gridcolor: "#e6e9ef", zeroline: false}, yaxis: {ticksuffix: " %", rangemode: "tozero", gridcolor: "#e6e9ef"}, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: {family: "inherit", size: 12, color: "#1d2430"}},
    {displayModeBar: false, responsive: true});
}
function reasons() {
  const body = byId("reasons").tBodies[0];
  for (const r of data.reasons) {
    const tr = body.insertRow();
    const a = tr.insertCell(), b = tr.insertCell(), c = tr.insertCell();
    a.className = "what"; a.textContent = r.resource; b.textContent = r.count; c.className = "long"; c.textContent = r.example;
  }
  if (!data.reasons.length) { const cell = body.insertRow().insertCell(); cell.colSpan = 3; cell.className = "text"; cell.textContent = "Every candidate is feasible."; }
}
byId("command").textContent = data.command;
byId("again").textContent = `pimdse pick ${data.folder} --trial ${data.knee ?? "N"}\npimdse reproduce ${data.folder}/pick`;
byId("estimatesbox").hidden = data.fidelity !== "cost";
byId("estimates").addEventListener("change", draw);
byId("chart").addEventListener("keydown", e => { const by = {ArrowLeft: -1, ArrowRight: 1}[e.key]; if (by) { e.preventDefault(); step(by); } });
byId("versions").textContent = "Made with " + Object.entries(data.versions).map(([k, v]) => `${k} ${v}`).join(", ") + "." + (data.network ? ` Network digest ${data.network.slice(0, 16)}.` : "");
for (const id of ["x", "y", "log"]) byId(id).addEventListener("change", draw);
byId("all").addEventListener("change", table);
window.addEventListener("resize", () => parallel());
byId("copy").addEventListener("click", () => navigator.clipboard && navigator.clipboard.writeText(byId("pick").textContent));
function start() {
tiles(); detail(); draw(); growth(); reasons(); parallel(); importance(); insideMenu();
byId("chart").on("plotly_click", event => { const n = event.points[0].customdata; if (n !== undefined) choose(n); });
}
