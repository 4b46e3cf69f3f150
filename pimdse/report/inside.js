// ---------------------------------------------------------------- importance, inside a winner
const svg = (name, attributes, parent) => {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (parent) parent.append(element);
  return element;
};

function importance() {
  const box = byId("importance");
  for (const goal of [...data.objectives, "front"].filter(g => data.importance[g])) {
    const list = make("div", undefined, {className: "bars"});
    list.append(make("h3", goal === "front" ? "being on the front" : title(goal)));
    for (const [name, share] of Object.entries(data.importance[goal]).sort((a, b) => b[1] - a[1])) {
      const track = make("span"), bar = make("i");
      bar.style.width = `${100 * share}%`; track.append(bar);
      list.append(make("span", title(name)), track, make("span", `${(100 * share).toFixed(0)} %`, {className: "number"}));
    }
    box.append(list);
  }
  if (!box.children.length) box.textContent = "Too few candidates to tell.";
}

// Viridis: rises evenly in brightness, so that it reads in grey and with any colour vision.
const viridis = ["#440154", "#482878", "#3e4989", "#31688e", "#26828e", "#1f9e89", "#35b779", "#6ece58", "#b5de2b", "#fde725"];
const layerColour = (k, layers) => d3.interpolateRgbBasis(viridis)(k / Math.max(1, layers - 1));
const several = new Set(data.proofs.map(p => p.network)).size > 1;
let network = data.proofs[0]?.network;
function insideMenu() {
  byId("inside").hidden = !data.proofs.length;
  byId("proof").append(make("option", "choose one", {value: "", hidden: true}));
  data.proofs.forEach((p, i) => {
    const role = p.trial === data.knee ? " (knee)" : "";
    byId("proof").append(make("option", `trial ${p.trial}${role}${several ? ", " + p.network : ""}`, {value: i}));
  });
  byId("proof").addEventListener("change", () => { const p = data.proofs[byId("proof").value]; network = p.network; choose(p.trial); });
  byId("layerscale").style.background = `linear-gradient(to right, ${viridis.join(",")})`;
}
// The selected candidate from inside, if its program was executed.
function inside() {
  const own = data.proofs.filter(p => p.trial === selected), proof = own.find(p => p.network === network) ?? own[0];
  byId("proof").value = proof ? data.proofs.indexOf(proof) : "";
  byId("insidetitle").textContent = proof ? `Inside trial ${selected}` : "Inside a winner";
  byId("verdict").hidden = !proof;
  byId("proven").hidden = !proof?.cores.length; // what cannot be compiled has none
  byId("unproven").hidden = Boolean(proof);
  byId("unproven").textContent = selected === null ? "" : `Trial ${selected} was not executed in the sweep; pimdse pick ${data.folder} --trial ${selected} compiles and executes it.`;
  if (proof) drawInside(proof);
}
let coreChosen = 0;
function drawInside(p) {
  byId("verdict").textContent = p.passed ? `executed: ${p.images} images, every output equals onnxruntime (largest error ${p.error.toExponential(1)} of the range)` : `${p.executed ? "WRONG" : "not executed"}: ${p.reason}`;
  byId("verdict").className = p.passed ? "" : "bad";
  if (!p.cores.length) return;
  const body = byId("layers").tBodies[0];
  body.replaceChildren();
  p.layers.forEach((layer, k) => {
    const tr = body.insertRow();
    [layer.name, layer.unfolding, layer.replication, layer.firings, layer.crossbars, layer.cores].forEach((value, i) =>
      tr.append(make("td", typeof value === "number" ? value.toLocaleString("en") : value, {className: i < 2 ? "text" : ""})));
    tr.cells[0].style.borderLeftColor = layerColour(k, p.layers.length);
  });
  coreChosen = Math.max(0, p.cores.findIndex(c => c.layer >= 0));
  byId("coretext").textContent = ""; byId("coremap").replaceChildren();
  if (p.cores.length) coreMap(p);
}
function coreMap(p) {
  const [rows, columns] = p.mesh, perChip = p.cores.length / p.chips, across = Math.ceil(Math.sqrt(p.chips)), down = Math.ceil(p.chips / across);
  const box = byId("coremap");
  const root = svg("svg", {viewBox: `-0.2 -0.2 ${across * (columns + 0.6)} ${down * (rows + 0.6)}`, preserveAspectRatio: "xMidYMid meet"});
  p.cores.forEach((core, c) => {
    const chip = Math.floor(c / perChip), local = c % perChip;
    const x = local % columns + (chip % across) * (columns + 0.6), y = Math.floor(local / columns) + Math.floor(chip / across) * (rows + 0.6);
    const square = (share, attributes) => svg("rect", {x: x + 0.05, y: y + 0.05 + 0.9 * (1 - share), width: 0.9, height: 0.9 * share, rx: 0.08, ...attributes}, root);
    square(1, {class: "cell"}).addEventListener("mouseenter", () => pointCore(p, c));
    if (core.layer >= 0) square(core.crossbars / p.crossbars_per_core, {fill: layerColour(core.layer, p.layers.length), "pointer-events": "none"});
    square(1, {id: `core${c}`, fill: "none", "pointer-events": "none"});
  });
  box.onkeydown = e => {
    const by = {ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns}[e.key];
    if (by) { e.preventDefault(); pointCore(p, Math.min(Math.max(coreChosen + by, 0), p.cores.length - 1)); }
  };
  box.replaceChildren(root);
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
