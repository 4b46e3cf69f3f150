// ---------------------------------------------------------------- parallel coordinates, importance, inside a winner
const svg = (name, attributes, parent) => {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (parent) parent.append(element);
  return element;
};
const varying = () => [...data.parameters, "solver", "pipeline"].filter(n => new Set(timed.map(t => t[n])).size > 1);

function parallel() {
  const axes = [...varying(), ...data.objectives], box = byId("parallel");
  box.replaceChildren();
  if (timed.length < 2) { box.textContent = "Fewer than two timed candidates."; return; }
  const width = Math.max(box.clientWidth || 1000, 90 * axes.length), height = 300, top = 44, bottom = 22, side = 60;
  const root = svg("svg", {viewBox: `0 0 ${width} ${height}`, height}, box);
  const at = (k) => side + k * (width - 2 * side) / (axes.length - 1);
  const scale = name => {
    const values = [...new Set(timed.map(t => t[name]))];
    if (typeof values[0] !== "number") { values.sort(); return {low: values[0], high: values[values.length - 1], of: v => values.length > 1 ? values.indexOf(v) / (values.length - 1) : 0.5}; }
    const low = Math.min(...values), high = Math.max(...values), log = low > 0 && high / low > 3;
    const f = v => log ? Math.log(v) : v;
    return {low, high, of: v => high > low ? (f(v) - f(low)) / (f(high) - f(low)) : 0.5};
  };
  const scales = axes.map(scale), y = share => height - bottom - share * (height - top - bottom);
  const order = [...timed].sort((a, b) => (a.trial === selected) - (b.trial === selected) || front.has(a.trial) - front.has(b.trial));
  for (const t of order) {
    const line = svg("polyline", {points: axes.map((name, k) => `${at(k).toFixed(1)},${y(scales[k].of(t[name])).toFixed(1)}`).join(" ")}, root);
    line.setAttribute("class", t.trial === selected ? "chosen" : front.has(t.trial) ? "front" : "");
    svg("title", {}, line).textContent = `trial ${t.trial}: ${axes.map(n => `${heading(n)} ${show(t[n], n)}`).join(", ")}`;
    line.addEventListener("click", () => choose(t.trial));
  }
  axes.forEach((name, k) => {
    svg("line", {x1: at(k), x2: at(k), y1: y(0), y2: y(1), stroke: "#5b6575"}, root);
    const words = heading(name).split(" "), middle = Math.ceil(words.length / 2);
    [words.slice(0, middle).join(" "), words.slice(middle).join(" ")].forEach((text, line) =>
      svg("text", {x: at(k), y: 12 + 13 * line, "text-anchor": "middle"}, root).textContent = text);
    svg("text", {x: at(k), y: y(1) - 5, "text-anchor": "middle", class: "end"}, root).textContent = show(scales[k].high, name);
    svg("text", {x: at(k), y: y(0) + 15, "text-anchor": "middle", class: "end"}, root).textContent = show(scales[k].low, name);
  });
}

function importance() {
  const box = byId("importance");
  for (const [objective, shares] of Object.entries(data.importance)) {
    const list = document.createElement("div"), head = document.createElement("h3");
    list.className = "bars"; head.textContent = objective === "front" ? "being on the front" : title(objective); list.append(head);
    for (const [name, share] of Object.entries(shares).sort((a, b) => b[1] - a[1])) {
      const label = document.createElement("span"), bar = document.createElement("i"), number = document.createElement("span"), track = document.createElement("span");
      label.textContent = name.replaceAll("_", " "); bar.style.width = `${100 * share}%`; track.append(bar);
      number.className = "number"; number.textContent = `${(100 * share).toFixed(0)} %`;
      list.append(label, track, number);
    }
    box.append(list);
  }
  if (!box.children.length) box.textContent = "Too few candidates to tell.";
}

// Viridis: rises evenly in brightness, so that it reads in grey and with any colour vision.
const viridis = ["#440154", "#482878", "#3e4989", "#31688e", "#26828e", "#1f9e89", "#35b779", "#6ece58", "#b5de2b", "#fde725"];
function layerColour(share) {
  const place = Math.min(Math.max(share, 0), 1) * (viridis.length - 1), k = Math.min(Math.floor(place), viridis.length - 2);
  const part = (c, i) => parseInt(c.slice(1 + 2 * i, 3 + 2 * i), 16), mix = i => Math.round(part(viridis[k], i) + (place - k) * (part(viridis[k + 1], i) - part(viridis[k], i)));
  return `rgb(${mix(0)},${mix(1)},${mix(2)})`;
}
const several = new Set(data.proofs.map(p => p.network)).size > 1;
function insideMenu() {
  byId("inside").hidden = !data.proofs.length;
  data.proofs.forEach((p, i) => {
    const o = document.createElement("option"), role = p.trial === data.knee ? " (knee)" : "";
    o.value = i; o.textContent = `trial ${p.trial}${role}${several ? ", " + p.network : ""}`; byId("proof").append(o);
  });
  byId("proof").addEventListener("change", () => drawInside(data.proofs[byId("proof").value]));
  if (data.proofs.length) inside(data.knee);
}
function inside(trial) {
  const i = Math.max(0, data.proofs.findIndex(p => p.trial === trial));
  byId("proof").value = i; drawInside(data.proofs[i]);
}
let coreChosen = 0;
function drawInside(p) {
  byId("verdict").textContent = p.passed ? `executed: ${p.images} images, every output equals onnxruntime (largest error ${p.error.toExponential(1)} of the range)` : `${p.executed ? "WRONG" : "not executed"}: ${p.reason}`;
  byId("verdict").className = p.passed ? "" : "bad";
  const body = byId("layers").tBodies[0];
  body.replaceChildren();
  p.layers.forEach((layer, k) => {
    const tr = body.insertRow();
    [layer.name, layer.unfolding, layer.replication, layer.firings, layer.crossbars, layer.cores].forEach((value, i) => {
      const cell = tr.insertCell();
      cell.className = i < 2 ? "text" : ""; cell.textContent = typeof value === "number" ? value.toLocaleString("en") : value;
    });
    tr.cells[0].style.borderLeft = `8px solid ${layerColour(k / Math.max(1, p.layers.length - 1))}`;
  });
  byId("layerscale").style.background = `linear-gradient(to right, ${viridis.join(",")})`;
  coreChosen = Math.max(0, p.cores.findIndex(c => c.layer >= 0));
  byId("coretext").textContent = ""; byId("coremap").replaceChildren();
  if (p.cores.length) coreMap(p);
}
function coreMap(p) {
  const [rows, columns] = p.mesh, perChip = p.cores.length / p.chips, across = Math.ceil(Math.sqrt(p.chips)), down = Math.ceil(p.chips / across);
  const box = byId("coremap");
  box.replaceChildren();
  const root = svg("svg", {viewBox: `-0.2 -0.2 ${across * (columns + 0.6)} ${down * (rows + 0.6)}`, preserveAspectRatio: "xMidYMid meet"}, box);
  p.cores.forEach((core, c) => {
    const chip = Math.floor(c / perChip), local = c % perChip;
    const x = local % columns + (chip % across) * (columns + 0.6), y = Math.floor(local / columns) + Math.floor(chip / across) * (rows + 0.6);
    const fill = core.crossbars / p.crossbars_per_core;
    const cell = svg("rect", {x: x + 0.05, y: y + 0.05, width: 0.9, height: 0.9, rx: 0.08, fill: "#eef0f4"}, root);
    if (core.layer >= 0) svg("rect", {x: x + 0.05, y: y + 0.05 + 0.9 * (1 - fill), width: 0.9, height: 0.9 * fill, rx: 0.08, fill: layerColour(core.layer / Math.max(1, p.layers.length - 1)), "pointer-events": "none"}, root);
    const frame = svg("rect", {x: x + 0.05, y: y + 0.05, width: 0.9, height: 0.9, rx: 0.08, fill: "none", "pointer-events": "none"}, root);
    frame.id = `core${c}`;
    cell.addEventListener("mouseenter", () => pointCore(p, c));
  });
  box.onkeydown = e => {
    const by = {ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns}[e.key];
    if (by) { e.preventDefault(); pointCore(p, Math.min(Math.max(coreChosen + by, 0), p.cores.length - 1)); }
  };
  pointCore(p, coreChosen);
}
function pointCore(p, c) {
  byId(`core${coreChosen}`)?.classList.remove("chosen");
  coreChosen = c;
  byId(`core${c}`).classList.add("chosen");
  const core = p.cores[c], layer = core.layer < 0 ? "no layer" : `most of it ${p.layers[core.layer].name}`;
  byId("coretext").textContent = `Core ${c}: ${core.crossbars} of ${p.crossbars_per_core} crossbars, ${layer}, at work ${(100 * core.busy).toFixed(0)} % of the time. Colour: layer, first to last; height: crossbars in use.`;
  [...byId("layers").tBodies[0].rows].forEach((row, k) => row.classList.toggle("chosen", k === core.layer));
}
start();
