// ---------------------------------------------------------------- importance, inside a winner
const svg = (name, attributes, parent) => {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (parent) parent.append(element);
  return element;
};

// Shares of a whole as bars, largest first.
function bars(heading, shares) {
  const list = make("div", undefined, {className: "bars"});
  list.append(make("h3", heading));
  for (const [name, share] of Object.entries(shares).sort((a, b) => b[1] - a[1])) {
    const track = make("span"), bar = make("i");
    bar.style.width = `${100 * share}%`; track.append(bar);
    list.append(make("span", title(name)), track, make("span", `${(100 * share).toFixed(share < 0.095 ? 1 : 0)} %`, {className: "number"}));
  }
  return list;
}
// What the design's area and energy are spent on, and what its accuracy rests on.
function breakdown(p) {
  const trial = data.trials.find(t => t.trial === p.trial), proof = data.proofs.find(q => q.trial === p.trial && q.network === p.network);
  const figure = known(trial.accuracy) ? trial.accuracy : proof?.accuracy, measured = known(figure);
  const parts = [["area_mm2", p.area_mm2], ["energy_pj", p.energy_pj]].filter(([, by]) => Object.keys(by).length);
  const boxes = parts.map(([name, by]) => {
    const total = d3.sum(Object.values(by));
    return bars(`${title(name)}: ${show(total, name)}`, Object.fromEntries(Object.entries(by).map(([k, v]) => [k, v / total])));
  });
  const box = make("div", undefined, {className: "facts"}), facts = Object.entries(p.accuracy_by);
  box.append(make("h3", `accuracy: ${measured ? show(figure, "accuracy") : "not measured"}`));
  for (const [name, text] of facts) box.append(make("span", name), make("span", text));
  box.append(make("p", (p.lossless ? "MVMs lose nothing: results are those of exact integers." : "MVMs lose something: large sums clip, or cells are not as written.")
    + (measured ? "" : proof?.unmeasured ? ` Not measured: ${proof.unmeasured}` : " With --objectives latency,accuracy a sweep measures what the network makes of that."), {className: "soft"}));
  byId("breakdown").replaceChildren(...boxes, ...(facts.length ? [box] : []));
}

function importance() {
  const box = byId("importance");
  for (const goal of [...data.objectives, "front"].filter(g => data.importance[g])) {
    box.append(bars(goal === "front" ? "being on the front" : title(goal), data.importance[goal]));
  }
  if (!box.children.length) box.textContent = "Too few candidates to tell.";
}

// Viridis: rises evenly in brightness, so that it reads in grey and with any colour vision.
const viridis = ["#440154", "#482878", "#3e4989", "#31688e", "#26828e", "#1f9e89", "#35b779", "#6ece58", "#b5de2b", "#fde725"];
const layerColour = (k, layers) => d3.interpolateRgbBasis(viridis)(k / Math.max(1, layers - 1));
const several = new Set(data.inside.map(i => i.network)).size > 1;
const insidesOf = number => data.inside.filter(i => i.trial === number);
let network = data.inside[0]?.network;
function insideMenu() {
  byId("inside").hidden = !data.inside.length && !data.proofs.length;
  byId("proof").append(make("option", "choose one", {value: "", hidden: true}));
  data.inside.forEach((p, i) => byId("proof").append(make("option", `trial ${p.trial}${role(p)}${several ? ", " + p.network : ""}`, {value: i})));
  byId("proof").addEventListener("change", () => { const p = data.inside[byId("proof").value]; network = p.network; choose(p.trial); });
  byId("layerscale").style.background = `linear-gradient(to right, ${viridis.join(",")})`;
}
// The selected candidate from inside, if it is on the front or the published one.
function inside() {
  const own = insidesOf(selected), design = own.find(p => p.network === network) ?? own[0];
  const proofs = data.proofs.filter(p => p.trial === selected), proof = proofs.find(p => p.network === design?.network) ?? proofs[0];
  byId("proof").value = design ? data.inside.indexOf(design) : "";
  byId("insidetitle").textContent = design ? `Inside trial ${selected}` : "Inside a design";
  byId("verdict").hidden = !design && !proof;
  byId("verdict").className = proof ? (proof.passed ? "" : "bad") : "unknown";
  byId("verdict").textContent = !proof ? `not executed yet; pimdse pick ${data.folder} --trial ${selected} does`
    : proof.passed ? `executed: ${proof.images} images, every output equals onnxruntime (largest error ${proof.error.toExponential(1)} of the range)` : `${proof.executed ? "WRONG" : "not executed"}: ${proof.reason}`;
  byId("proven").hidden = !design;
  byId("unproven").hidden = Boolean(design);
  byId("unproven").textContent = selected === null ? "" : `Trial ${selected} is not on the front: pimdse pick ${data.folder} --trial ${selected} compiles it, pimdse map shows it.`;
  if (design) drawInside(design);
}
let coreChosen = 0;
function drawInside(p) {
  const body = byId("layers").tBodies[0];
  body.replaceChildren();
  p.layers.forEach((layer, k) => {
    const tr = body.insertRow();
    [layer.name, layer.unfolding, layer.replication, layer.firings, layer.crossbars, layer.cores].forEach((value, i) =>
      tr.append(make("td", typeof value === "number" ? value.toLocaleString("en") : value, {className: i < 2 ? "text" : ""})));
    tr.cells[0].style.borderLeftColor = layerColour(k, p.layers.length);
  });
  const box = byId("coremap"), columns = p.mesh[1];
  coreChosen = Math.max(0, p.core_layer.findIndex(layer => layer >= 0));
  box.replaceChildren(coreMap(p, "", c => pointCore(p, c)));
  box.onkeydown = e => {
    const by = {ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns}[e.key];
    if (by) { e.preventDefault(); pointCore(p, Math.min(Math.max(coreChosen + by, 0), p.core_layer.length - 1)); }
  };
  pointCore(p, coreChosen);
  breakdown(p);
}
// Every core: coloured by the layer it holds most of, as high as it is full. pointed: told the core under the pointer.
function coreMap(p, label, pointed) {
  const [rows, columns] = p.mesh, perChip = p.core_layer.length / p.chips, across = Math.ceil(Math.sqrt(p.chips)), down = Math.ceil(p.chips / across);
  const named = label ? {role: "img", "aria-label": label} : {};
  const root = svg("svg", {viewBox: `-0.2 -0.2 ${across * (columns + 0.6)} ${down * (rows + 0.6)}`, preserveAspectRatio: "xMidYMid meet", ...named});
  p.core_layer.forEach((layer, c) => {
    const chip = Math.floor(c / perChip), local = c % perChip;
    const x = local % columns + (chip % across) * (columns + 0.6), y = Math.floor(local / columns) + Math.floor(chip / across) * (rows + 0.6);
    const square = (share, attributes) => svg("rect", {x: x + 0.05, y: y + 0.05 + 0.9 * (1 - share), width: 0.9, height: 0.9 * share, rx: 0.08, ...attributes}, root);
    const cell = square(1, {class: "cell"});
    if (layer >= 0) square(p.core_crossbars[c] / p.crossbars_per_core, {fill: layerColour(layer, p.layers.length), "pointer-events": "none"});
    if (pointed) { cell.addEventListener("mouseenter", () => pointed(c)); square(1, {id: `core${c}`, fill: "none", "pointer-events": "none"}); }
  });
  return root;
}
function pointCore(p, c) {
  byId(`core${coreChosen}`)?.classList.remove("chosen");
  coreChosen = c;
  byId(`core${c}`).classList.add("chosen");
  const layer = p.core_layer[c], holds = layer < 0 ? "no layer" : `most of it ${p.layers[layer].name}`;
  byId("coretext").textContent = `Core ${c}: ${p.core_crossbars[c]} of ${p.crossbars_per_core} crossbars, ${holds}, at work ${(100 * p.core_busy[c]).toFixed(0)} % of the time. Colour: layer, first to last; height: crossbars in use.`;
  [...byId("layers").tBodies[0].rows].forEach((row, k) => row.classList.toggle("chosen", k === layer));
}
