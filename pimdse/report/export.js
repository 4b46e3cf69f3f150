// ---------------------------------------------------------------- what is shown, as files
function download(name, content, type) {
  const link = make("a", undefined, {href: URL.createObjectURL(content instanceof Blob ? content : new Blob([content], {type})), download: name});
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
const fileName = suffix => `${document.title.replace(/\W+/g, "-")}-${byId("y").value}-${byId("x").value}.${suffix}`;

// The rows of the table with all figures, in the units of trials.csv.
function tableCsv(rows) {
  const names = [...new Set(["trial", "fidelity", "pipeline", "solver", ...data.parameters, ...data.metrics.map(m => m.name), "bound_ns", "bound_period_ns", "gap"])].filter(n => rows.some(t => known(t[n])));
  const cell = v => !known(v) ? "" : /[",\n]/.test(v) ? `"${String(v).replaceAll('"', '""')}"` : String(v);
  return [names, ...rows.map(t => names.map(n => t[n]))].map(row => row.map(cell).join(",")).join("\n") + "\n";
}
// The chart with its colours in place of the style sheet's variables, and a line that says what it shows.
function chartSvg() {
  const figure = byId("chart").querySelector("svg").cloneNode(true), theme = getComputedStyle(document.documentElement);
  for (const helper of figure.querySelectorAll(".brush, [aria-label=tip]")) helper.remove();
  const width = Number(figure.getAttribute("width")), height = Number(figure.getAttribute("height"));
  const colour = byId("colour").value, extent = d3.extent(shown().map(t => t[colour]).filter(known));
  const said = colour === "pipeline" ? data.pipelines.map(p => [`\u25cf ${p}`, `var(--${p})`]) : [[`colour: ${title(colour)}, dark ${show(extent[0], colour)} to bright ${show(extent[1], colour)}`, "var(--ink)"]];
  const caption = svg("text", {x: 14, y: height + 18, "font-size": 12.5}, figure);
  for (const [text, fill] of [[document.title + "   ", "var(--ink)"], ...said]) svg("tspan", {fill, dx: 8}, caption).textContent = text;
  figure.setAttribute("viewBox", `0 0 ${width} ${height + 30}`); figure.setAttribute("height", height + 30);
  figure.prepend(svg("rect", {width, height: height + 30, fill: "var(--panel)"}));
  figure.setAttribute("style", "font-family:system-ui,sans-serif;color:var(--ink)");
  for (const element of [figure, ...figure.querySelectorAll("*")]) for (const attribute of element.attributes)
    attribute.value = attribute.value.replace(/var\((--[\w-]+)\)/g, (_, name) => theme.getPropertyValue(name).trim());
  return [new XMLSerializer().serializeToString(figure), width, height + 30];
}
function chartPng() {
  const [text, width, height] = chartSvg(), image = new Image(), canvas = make("canvas", undefined, {width: 2 * width, height: 2 * height});
  image.addEventListener("load", () => { canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height); canvas.toBlob(blob => download(fileName("png"), blob)); });
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(text)}`;
}
function exports() {
  byId("savesvg").addEventListener("click", () => download(fileName("svg"), chartSvg()[0], "image/svg+xml"));
  byId("savepng").addEventListener("click", chartPng);
  byId("savecsv").addEventListener("click", () => download(fileName("csv"), tableCsv(tableRows()), "text/csv"));
}
