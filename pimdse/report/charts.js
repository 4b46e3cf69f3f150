// ---------------------------------------------------------------- scatter plot, parallel coordinates, progress
// Drawn by Observable Plot as SVG whose colours are the style sheet's variables: dark pages and paper need no other drawing.
const symbols = [d3.symbolCircle, d3.symbolSquare, d3.symbolTriangle, d3.symbolDiamond, d3.symbolCross, d3.symbolStar, d3.symbolWye];
const symbolOf = solver => symbols[data.solvers.indexOf(solver) % symbols.length];
const look = {style: {background: "none", color: "var(--ink)", fontFamily: "inherit", fontSize: "12.5px"}};
let zoom = null; // metric -> [low, high], of the axes that were dragged over

function drawing(inner) {
  const root = svg("svg", {class: "swatch", viewBox: "-9 -7 18 14", "aria-hidden": "true"});
  inner(root);
  return root;
}
const swatch = (symbol, colour) => drawing(root => svg("path", {d: d3.symbol(symbol, 70)(), style: `fill:${colour}`}, root));
function key() {
  const entry = (inner, text) => { const item = make("li"); item.append(drawing(inner), text); byId("key").append(item); };
  const stroke = (colour, dash = "none") => root => svg("path", {d: "M-9,0H9", style: `stroke:var(--${colour});stroke-width:2;stroke-dasharray:${dash}`}, root);
  const ring = colour => root => svg("circle", {r: 6, style: `fill:none;stroke:var(--${colour});stroke-width:2`}, root);
  const dot = style => root => svg("circle", {r: 4.5, style}, root);
  if (data.fidelity === "cost") {
    entry(dot("fill:var(--axis)"), "timed program");
    entry(dot("fill:none;stroke:var(--axis);stroke-width:1.5"), "estimate");
  }
  entry(stroke("ink"), "front");
  if (feasible.some(t => t.bound_ns)) entry(stroke("axis", "4 3"), "proven bound");
  if (data.published !== null) entry(ring("published"), "the file's chip");
  if (data.knee !== null) entry(ring("knee"), "knee");
  entry(ring("ink"), "selected");
}

function ticks(low, high, log, most) {
  if (log) for (const mantissas of [[1, 1.5, 2, 3, 4, 5, 6, 8], [1, 2, 5], [1, 3], [1]]) {
    const decades = d3.range(Math.floor(Math.log10(low)), Math.ceil(Math.log10(high)) + 1);
    const found = decades.flatMap(e => mantissas.map(m => m * 10 ** e)).filter(v => low <= v && v <= high);
    if (found.length <= most && found.length > 2) return found;
  }
  return d3.ticks(low, high, most - 1);
}
function axis(name, values, most) {
  const there = values.filter(known), log = byId("log").checked && there.every(v => v > 0);
  const [low, high] = there.length ? d3.extent(there) : [1, 10];
  const [into, back] = log ? [Math.log10, v => 10 ** v] : [v => v, v => v];
  const margin = 0.05 * (into(high) - into(low) || (log ? 1 : Math.abs(low) || 1));
  const domain = zoom?.[name] ?? [back(into(low) - margin), back(into(high) + margin)];
  return {name, ticks: ticks(...domain, log, Math.max(most, 2)), scale: {type: log ? "log" : "linear", domain}};
}
// The part of the chart that the front fills, with a margin.
function nearFront() {
  const x = byId("x").value, y = byId("y").value, line = frontOf(shown().filter(isTimed), x, y);
  const around = name => {
    const [low, high] = d3.extent(line, t => t[name]), log = byId("log").checked && low > 0;
    const margin = log ? (high / low) ** 0.1 * 1.02 : 0.1 * (high - low) + 0.01 * Math.abs(high);
    return log ? [low / margin, high * margin] : [low - margin, high + margin];
  };
  return line.length ? {[x]: around(x), [y]: around(y)} : null;
}
const longest = axis => Math.max(0, ...axis.ticks.map(v => show(v, axis.name).length));
// The labels as text of the marks: a logarithmic scale would leave some of them out.
const drawn = (axis, grid, labels, options) => [grid(axis.ticks), labels(axis.ticks, {text: v => show(v, axis.name), label: title(axis.name), labelArrow: "none", ...options})];

// The best that any program could do on the chips up to each size: their proven bounds, as a front of their own.
const bounds = {latency_ns: t => t.bound_ns, period_ns: t => t.bound_period_ns, throughput_per_s: t => 1e9 / t.bound_period_ns};
function boundLine(x, y) {
  if (!bounds[y] || bounds[x]) return [];
  const proven = feasible.filter(t => t.bound_ns && t.bound_period_ns).map(t => ({[x]: t[x], [y]: bounds[y](t)}));
  const line = frontOf(proven, x, y), last = line.at(-1);
  const end = metrics[x].maximize ? d3.min(feasible, t => t[x]) : d3.max(feasible, t => t[x]);
  return last ? [...line, {[x]: end, [y]: last[y]}] : line;
}
function hover(t) {
  const lines = [`trial ${t.trial}: ${t.pipeline}, ${t.solver}${isTimed(t) ? "" : ", estimate"}`], also = byId("colour").value;
  for (const name of new Set([byId("y").value, byId("x").value, ...(also === "pipeline" ? [] : [also]), ...data.parameters])) lines.push(`${heading(name)} ${show(t[name], name)}`);
  if (t.bound_ns) lines.push(`bound of the latency ${show(t.bound_ns, "bound_ns")}, gap ${show(t.gap, "gap")}`);
  return lines.join("\n");
}
const tip = (points, width, channels) => Plot.tip(points, Plot.pointer({maxRadius: 60, ...channels, lineWidth: width < 500 ? 11 : 40, lineHeight: 1.25, stroke: "var(--line)"}));
const widthOf = box => Math.max(box.clientWidth, 240); // a window may be closed up
function put(box, figure) {
  figure.addEventListener("click", () => { if (figure.value?.trial !== undefined) choose(figure.value.trial); });
  for (const group of figure.querySelectorAll("g[aria-label]")) group.setAttribute("role", "group"); // a name needs a role
  box.replaceChildren(figure);
}

// Colours by what the menu says; the ramp of a figure stands in the key.
function colours(points) {
  const name = byId("colour").value, values = points.map(t => t[name]).filter(v => typeof v === "number"), [low, high] = d3.extent(values);
  byId("ramp").hidden = name === "pipeline" || !values.length;
  if (name === "pipeline") return t => `var(--${t.pipeline})`;
  const f = low > 0 && high / low > 3 ? Math.log : v => v, ramp = d3.interpolateRgbBasis(viridis);
  [byId("ramplow").textContent, byId("ramphigh").textContent, byId("rampname").textContent] = [show(low, name), show(high, name), title(name)];
  return t => typeof t[name] === "number" ? ramp(high > low ? (f(t[name]) - f(low)) / (f(high) - f(low)) : 0.5) : "var(--axis)";
}
function scatter() {
  const x = byId("x").value, y = byId("y").value, box = byId("chart"), points = shown();
  const line = frontOf(points.filter(isTimed), x, y), least = boundLine(x, y);
  const width = widthOf(box), height = Math.min(Math.max(0.8 * width, 340), 600), top = 28, bottom = 44, right = 14;
  const upward = axis(y, [...points, ...least].map(t => t[y]), height / 40), left = 14 + 7.2 * longest(upward);
  const rough = axis(x, points.map(t => t[x]), 9), sideways = axis(x, points.map(t => t[x]), (width - left - right) / (18 + 7.2 * longest(rough)));
  const curve = metrics[x].maximize ? "step-before" : "step-after";
  const ring = (number, colour, r) => Plot.dot(points.filter(t => t.trial === number), {x, y, r, stroke: `var(--${colour})`, strokeWidth: 2});
  const colour = colours(points), edge = byId("colour").value === "pipeline" ? "var(--panel)" : "var(--axis)";
  const figure = Plot.plot({...look, width, height, marginLeft: left, marginRight: right, marginTop: top, marginBottom: bottom, clip: zoom !== null, ariaLabel: "Candidates",
    x: sideways.scale, y: upward.scale, color: {type: "identity"}, symbol: {domain: data.solvers, range: data.solvers.map(symbolOf)},
    marks: [
      ...drawn(sideways, Plot.gridX, Plot.axisX, {labelAnchor: "center"}), ...drawn(upward, Plot.gridY, Plot.axisY),
      Plot.line(least, {x, y, curve, stroke: "var(--axis)", strokeDasharray: "5 4", clip: true, className: "bound"}),
      Plot.line(line, {x, y, curve, stroke: "var(--ink)", clip: true, className: "front"}),
      Plot.dot(points.filter(t => !isTimed(t)), {x, y, r: 3, symbol: "solver", stroke: colour, strokeOpacity: 0.7, className: "estimates"}),
      Plot.dot(points.filter(isTimed), {x, y, r: 5, symbol: "solver", fill: colour, stroke: edge, strokeWidth: 0.8, className: "timed"}),
      ring(data.published, "published", 9), ring(data.knee, "knee", 9), ring(selected, "ink", 12),
      tip(points, width, {x, y, title: hover}),
    ]});
  const zoomed = name => ([from, to]) => d3.sort([from, to].map(figure.scale(name).invert));
  const brush = d3.brush().touchable(false).extent([[left, top], [width - right, height - bottom]]).on("end", ({selection}) => {
    if (!selection) return;
    const [[x0, y0], [x1, y1]] = selection;
    zoom = {[x]: zoomed("x")([x0, x1]), [y]: zoomed("y")([y0, y1])};
    scatter();
  });
  d3.select(figure).append("g").attr("class", "brush").call(brush).on("dblclick", () => { zoom = null; scatter(); });
  byId("whole").hidden = zoom === null;
  put(box, figure);
}

// A parameter's or objective's place on its axis, 0 to 1; text in alphabetical order.
function shareOf(name) {
  const values = [...new Set(timed.map(t => t[name]))];
  if (typeof values[0] !== "number") { values.sort(); return {low: values[0], high: values.at(-1), of: v => values.indexOf(v) / (values.length - 1)}; }
  const [low, high] = d3.extent(values), f = low > 0 && high / low > 3 ? Math.log : v => v;
  return {low, high, of: v => high > low ? (f(v) - f(low)) / (f(high) - f(low)) : 0.5};
}
function parallel() {
  const box = byId("parallel"), names = [...data.parameters, "solver", "pipeline"].filter(n => new Set(timed.map(t => t[n])).size > 1);
  if (timed.length < 2) { box.textContent = "Fewer than two timed candidates."; return; }
  const axes = [...names, ...data.objectives].map(name => ({name, ...shareOf(name)}));
  const width = widthOf(box), lying = width < 100 * axes.length; // narrow pages: one axis below the other
  const place = (axis, share) => lying ? {x: share, y: axis.name} : {x: axis.name, y: share};
  const rows = trials => trials.flatMap(t => axes.map(axis => ({trial: t.trial, ...place(axis, axis.of(t[axis.name]))})));
  const lines = (trials, className, stroke, strokeWidth, strokeOpacity) => Plot.line(rows(trials), {x: "x", y: "y", z: "trial", stroke, strokeWidth, strokeOpacity, className});
  const text = (share, content, options) => Plot.text(axes, {x: a => place(a, share).x, y: a => place(a, share).y, text: content, stroke: "var(--panel)", strokeWidth: 4, fill: "var(--ink)", ...options});
  const names2 = a => lying ? heading(a.name) : heading(a.name).replace(/ (?=\S+$)/, "\n");
  const along = {type: "point", domain: axes.map(a => a.name), axis: null, padding: 0.5}, across = {domain: [0, 1], axis: null};
  const said = Object.fromEntries(timed.map(t => [t.trial, [`trial ${t.trial}`, ...axes.map(a => `${heading(a.name)} ${show(t[a.name], a.name)}`)].join("\n")]));
  put(box, Plot.plot({...look, width, height: lying ? 62 * axes.length : 330, x: lying ? across : along, y: lying ? along : across,
    marginTop: lying ? 0 : 52, marginBottom: lying ? 0 : 24, marginLeft: lying ? 8 : 0, marginRight: lying ? 8 : 0,
    marks: [
      lines(timed.filter(t => !front.has(t.trial)), "others", "var(--axis)", 1, 0.45),
      lines(timed.filter(t => front.has(t.trial)), "front", "var(--accent)", 2, 0.9),
      lines(timed.filter(t => t.trial === selected), "selected", "var(--ink)", 3.2, 1),
      lying ? Plot.ruleY(axes, {y: "name", stroke: "var(--axis)"}) : Plot.ruleX(axes, {x: "name", stroke: "var(--axis)"}),
      ...(lying ? [
        text(0, names2, {textAnchor: "start", dy: -12, fontWeight: 600}),
        text(0, a => show(a.low, a.name), {textAnchor: "start", dy: 12}), text(1, a => show(a.high, a.name), {textAnchor: "end", dy: 12}),
      ] : [
        text(1, names2, {lineAnchor: "bottom", dy: -22, fontWeight: 600}),
        text(1, a => show(a.high, a.name), {dy: -11}), text(0, a => show(a.low, a.name), {dy: 13}),
      ]),
      tip(rows(timed), width, {x: "x", y: "y", title: r => said[r.trial]}),
    ]}));
}
function growth() {
  const box = byId("growth"), points = data.hypervolume.map((v, i) => ({x: i + 1, y: 100 * v}));
  put(box, Plot.plot({...look, width: widthOf(box), height: 250, marginLeft: 52, marginBottom: 40, x: {label: "candidates", labelAnchor: "center", labelArrow: "none", ticks: widthOf(box) / 90, tickFormat: d3.format("d")},
    y: {label: null, grid: true, domain: [0, Math.max(1, d3.max(points, p => p.y) ?? 1)], tickFormat: v => `${v} %`},
    marks: [
      Plot.line(points, {x: "x", y: "y", curve: "step-after", stroke: "var(--accent)", strokeWidth: 2}),
      Plot.tip(points, Plot.pointerX({x: "x", y: "y", title: p => `after ${p.x}: ${p.y.toFixed(1)} %`, stroke: "var(--line)"})),
    ]}));
}
let drawnFor = 0;
function charts() {
  const width = document.querySelector("main").clientWidth;
  if (width === drawnFor) return;
  drawnFor = width;
  scatter(); parallel(); growth();
}
