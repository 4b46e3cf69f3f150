// ---------------------------------------------------------------- two designs side by side, one parameter changed
const role = t => t.trial === data.knee ? " (knee)" : t.trial === data.published ? " (the file's chip)" : "";
const numbered = new Map(data.trials.map(t => [t.trial, t]));
const published = numbered.get(data.published);

function compareMenu() {
  const order = [...timed].sort((a, b) => front.has(b.trial) - front.has(a.trial) || a[data.objectives[0]] - b[data.objectives[0]]);
  byId("comparison").hidden = order.length < 2;
  for (const t of order) byId("other").append(make("option", `trial ${t.trial}${role(t)}${front.has(t.trial) ? "" : ", not on the front"}`, {value: t.trial}));
  if (published && published.trial !== selected) byId("other").value = published.trial;
  byId("other").addEventListener("change", compare);
}
// How a figure of b differs from that of a, in words that need no colour.
function difference(a, b, m) {
  if (!known(a[m.name]) || !known(b[m.name])) return ["", ""];
  if (a[m.name] === b[m.name]) return ["=", ""];
  const ratio = b[m.name] / a[m.name], better = (ratio > 1) === Boolean(m.maximize);
  const far = ratio >= 2 || (ratio > 0 && ratio <= 0.5), text = far ? `${ratio > 1 ? "\u00d7" : "\u00f7"} ${Math.max(ratio, 1 / ratio).toPrecision(3)}` : `${ratio > 1 ? "+" : "\u2212"}${(100 * Math.abs(ratio - 1)).toFixed(1)} %`;
  return [`${text}, ${better ? "better" : "worse"}`, better ? "better" : "worse"];
}
function compare() {
  const a = numbered.get(selected), menu = byId("other");
  if (Number(menu.value) === selected) menu.value = [...menu.options].map(o => Number(o.value)).find(n => n !== selected) ?? "";
  const b = numbered.get(Number(menu.value)), body = byId("pair").tBodies[0];
  body.replaceChildren(); byId("pairmaps").replaceChildren();
  if (!a || !b || a.verdict !== "feasible") { byId("alike").textContent = "Select a feasible candidate above."; return; }
  [byId("one").textContent, byId("two").textContent] = [a, b].map(t => `trial ${t.trial}${role(t)}${isTimed(t) ? "" : ", estimate"}`);
  const choices = ["pipeline", "solver", ...data.parameters], differing = choices.filter(n => a[n] !== b[n]);
  for (const name of differing) body.insertRow().append(make("th", title(name), {scope: "row", className: "text"}), make("td", show(a[name], name)), make("td", show(b[name], name)), make("td", ""));
  for (const m of data.metrics) {
    const [text, kind] = difference(a, b, m), goal = data.objectives.includes(m.name);
    if (known(a[m.name]) || known(b[m.name]))
      body.insertRow().append(make("th", m.title, {scope: "row", className: goal ? "text goal" : "text"}), make("td", show(a[m.name], m.name)), make("td", show(b[m.name], m.name)), make("td", text, {className: kind}));
  }
  const same = choices.filter(n => a[n] === b[n]).map(n => `${heading(n)} ${show(a[n], n)}`);
  byId("alike").textContent = same.length ? `The same in both: ${same.join(", ")}.` : "";
  for (const t of [a, b]) {
    const own = insidesOf(t.trial)[0], box = make("figure");
    if (own) { box.append(coreMap(own, `Cores of trial ${t.trial}`), make("figcaption", `trial ${t.trial}: ${own.core_crossbars.filter(n => n).length} of ${own.core_crossbars.length} cores hold layers`)); byId("pairmaps").append(box); }
  }
}

// Rows [value, trial or null, figures by name or null] of a design's neighbours along every parameter.
function around(t) {
  if (!isTimed(t) || !data.whatif?.rows[t.trial]) {
    const choices = ["pipeline", "solver", ...data.parameters], near = Object.fromEntries(choices.map(n => [n, [[t[n], t.trial, t]]]));
    for (const other of feasible) {
      const changed = choices.filter(n => other[n] !== t[n]);
      if (changed.length === 1 && other.fidelity === t.fidelity) near[changed[0]].push([other[changed[0]], other.trial, other]);
    }
    for (const rows of Object.values(near)) rows.sort((a, b) => typeof a[0] === "number" ? a[0] - b[0] : 0);
    return near;
  }
  const named = row => Object.fromEntries(data.whatif.metrics.map((name, i) => [name, row[i + 2]]));
  const rows = Object.entries(data.whatif.rows[t.trial]).map(([name, found]) => [name, found.map(row => [row[0], row[1], row.slice(2).every(v => v === null) ? null : named(row)])]);
  return Object.fromEntries(rows);
}
function whatifMenu() {
  const names = data.whatif?.metrics ?? data.metrics.map(m => m.name);
  for (const m of data.metrics.filter(m => names.includes(m.name))) byId("whatmetric").append(make("option", m.title, {value: m.name}));
  byId("whatmetric").value = data.objectives[0];
  byId("whatmetric").addEventListener("change", whatIf);
}
function whatIf() {
  const t = numbered.get(selected), box = byId("whatif"), y = byId("whatmetric").value;
  byId("whatiftitle").textContent = t ? `What if: trial ${t.trial} with one parameter changed` : "What if one parameter changed";
  box.replaceChildren();
  byId("whatifnote").textContent = "";
  if (!t || t.verdict !== "feasible") { byId("whatifnote").textContent = "Select a feasible candidate above."; return; }
  const complete = Boolean(isTimed(t) && data.whatif?.rows[t.trial]), near = around(t);
  const names = Object.keys(near).filter(n => near[n].length > 1).sort((a, b) => near[b].length - near[a].length);
  const own = near[names[0]]?.find(([value]) => value === t[names[0]])?.[2];
  const values = names.flatMap(n => near[n].map(row => row[2]?.[y])).filter(known), [low, high] = d3.extent(values);
  const log = low > 0 && high / low > 3, margin = log ? (high / low) ** 0.08 : 0.08 * (high - low || Math.abs(high) || 1);
  const domain = log ? [low / margin, high * margin] : [low - margin, high + margin];
  for (const name of names) box.append(stepChart(t, name, near[name], y, own, {type: log ? "log" : "linear", domain}));
  const none = ["pipeline", "solver", ...data.parameters].filter(n => !names.includes(n)).map(heading);
  byId("whatifnote").textContent = complete
    ? "Estimates, the trial's own (ringed) too, so that they can be compared; a filled point has a timed program besides, \u00d7 has no plan or breaks a limit. Select a filled or hollow point to see its candidate; a small one was not kept as a trial."
    : `Only candidates that were kept and differ in one parameter are known here${none.length ? `; none for ${none.join(", ")}` : ""}.`;
}
function stepChart(t, name, rows, y, own, scale) {
  const points = rows.map(([value, trial, figures]) => ({x: value, y: figures?.[y] ?? null, trial: trial ?? undefined, own: value === t[name]}));
  const there = points.filter(p => known(p.y)), missing = points.filter(p => !known(p.y));
  const said = p => {
    const change = own && known(p.y) && !p.own ? `, ${100 * (p.y / own[y] - 1) >= 0 ? "+" : "\u2212"}${Math.abs(100 * (p.y / own[y] - 1)).toFixed(1)} %` : "";
    const other = numbered.get(p.trial);
    const timedToo = other && isTimed(other) && isTimed(t) && data.whatif ? `\ntimed ${show(other[y], y)}` : "";
    return `${heading(name)} ${show(p.x, name)}${p.trial === undefined ? "" : ` (trial ${p.trial})`}\n${known(p.y) ? `${heading(y)} ${show(p.y, y)}${change}` : "no plan, or a limit is broken"}${timedToo}`;
  };
  const at = points.findIndex(p => p.own), last = points.length - 1, many = last > 5; // then the own one and the ends have room
  const labels = points.filter((p, i) => !many || p.own || (i === 0 || i === last) && Math.abs(i - at) > last / 4).map(p => p.x);
  const marked = ticks(...scale.domain, scale.type === "log", 4);
  const width = 250, isFilled = p => p.trial !== undefined && isTimed(numbered.get(p.trial));
  const tips = {x: "x", y: "y", title: said, stroke: "var(--line)", lineWidth: 20};
  const holder = make("div"), figure = Plot.plot({...look, width, height: 150, marginLeft: 62, marginRight: 26, marginTop: 8, marginBottom: 24, ariaLabel: `${title(y)} for other values of ${title(name)}`,
    x: {type: "point", domain: points.map(p => p.x), padding: 0.2}, y: {...scale, label: null},
    marks: [
      Plot.gridY(marked), Plot.axisY(marked, {text: v => show(v, y), tickSize: 0}),
      Plot.axisX(labels, {tickFormat: v => show(v, name), tickSize: 0, label: null}),
      Plot.line(there, {x: "x", y: "y", stroke: "var(--axis)"}),
      Plot.dot(there, {x: "x", y: "y", r: p => p.trial === undefined ? 2 : 4, fill: p => isFilled(p) ? "var(--accent)" : "var(--panel)", stroke: "var(--accent)"}),
      Plot.dot(there.filter(p => p.own), {x: "x", y: "y", r: 8, stroke: "var(--ink)", strokeWidth: 2}),
      Plot.text(missing, {x: "x", text: () => "\u00d7", frameAnchor: "bottom", dy: -4, fill: "var(--bad)"}),
      Plot.tip(there, Plot.pointerX(tips)),
    ]});
  holder.append(make("h3", title(name)));
  const drawn = make("div"); holder.append(drawn); put(drawn, figure);
  return holder;
}
