"use strict";
/* Draws the charts when they come near, in the page's colours, and sorts the table. */
(() => {
  const root = document.documentElement;
  const plots = [...document.querySelectorAll(".plot")];
  const drawn = new Set();
  let figures = {};

  const colour = (name) => getComputedStyle(root).getPropertyValue(name).trim();

  function themed(layout) {
    const own = { "font.color": colour("--ink"), "font.family": getComputedStyle(document.body).fontFamily };
    Object.assign(own, { "hoverlabel.bgcolor": colour("--card"), "hoverlabel.bordercolor": colour("--line") });
    Object.assign(own, { "hoverlabel.font.color": colour("--ink") });
    for (const axis of Object.keys(layout).filter((key) => /^[xy]axis/.test(key))) {
      own[axis + ".gridcolor"] = colour("--grid");
      own[axis + ".linecolor"] = colour("--line");
      own[axis + ".tickfont.color"] = colour("--soft");
      own[axis + ".title.font.color"] = colour("--soft");
    }
    return own;
  }

  async function draw(plot) {
    if (drawn.has(plot)) return;
    drawn.add(plot);
    plot.classList.remove("waiting");
    plot.textContent = "";
    const figure = figures[plot.dataset.chart];
    const options = { responsive: true, displaylogo: false, displayModeBar: false };
    await Plotly.newPlot(plot, figure.data, figure.layout, options);
    await Plotly.relayout(plot, themed(figure.layout));
    plot.dataset.drawn = "yes";
  }

  const repaint = () => drawn.forEach((plot) => Plotly.relayout(plot, themed(plot.layout)));

  async function unpacked(id) {
    const packed = document.getElementById(id).textContent.trim();
    const bytes = Uint8Array.from(atob(packed), (character) => character.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(stream).text();
  }

  async function start() {
    if (typeof DecompressionStream === "undefined") {
      const excuse = "This browser is too old for the charts; the tables hold the same figures.";
      plots.forEach((plot) => { plot.textContent = excuse; });
      return;
    }
    figures = JSON.parse(await unpacked("figures"));
    for (const plot of plots) plot.style.minHeight = figures[plot.dataset.chart].layout.height + "px";
    const library = document.createElement("script");
    library.textContent = await unpacked("plotly");
    document.head.append(library);
    const near = new IntersectionObserver((seen) => {
      seen.filter((one) => one.isIntersecting).forEach((one) => draw(one.target));
    }, { rootMargin: "600px" });
    plots.forEach((plot) => near.observe(plot));
    root.dataset.ready = "yes";
  }

  /* Sorting: numbers from the largest down at the first click, words from A on; baselines mix in. */
  function sort(heading) {
    const table = heading.closest("table");
    const place = [...heading.parentNode.children].indexOf(heading);
    const number = heading.classList.contains("number");
    const before = heading.getAttribute("aria-sort");
    const falling = before === "none" ? number : before === "ascending";
    const value = (row) => {
      const cell = row.children[place];
      return number ? Number(cell.dataset.value) : cell.textContent;
    };
    const order = (a, b) => (number ? value(a) - value(b) : value(a).localeCompare(value(b)));
    const rows = [...table.tBodies[0].rows].sort((a, b) => (falling ? order(b, a) : order(a, b)));
    table.tBodies[0].append(...rows);
    for (const other of heading.parentNode.children) other.setAttribute("aria-sort", "none");
    heading.setAttribute("aria-sort", falling ? "descending" : "ascending");
  }
  document.querySelectorAll("th[aria-sort] button").forEach((button) => {
    button.addEventListener("click", () => sort(button.parentNode));
  });

  /* One legend for the charts below it: a click shows or hides a trace in all of them. */
  document.querySelectorAll(".legend button").forEach((button) => {
    button.addEventListener("click", () => {
      const shown = button.getAttribute("aria-pressed") !== "true";
      button.setAttribute("aria-pressed", String(shown));
      const trace = Number(button.dataset.trace);
      for (const plot of document.querySelectorAll("[data-legend] .plot")) {
        figures[plot.dataset.chart].data[trace].visible = shown;
        if (drawn.has(plot)) Plotly.restyle(plot, { visible: shown }, [trace]);
      }
    });
  });

  const system = matchMedia("(prefers-color-scheme: dark)");
  const toggle = document.getElementById("theme");
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);
  const label = () => { toggle.textContent = isDark() ? "light" : "dark"; };
  toggle.hidden = false;
  label();
  toggle.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    label();
    repaint();
  });
  system.addEventListener("change", () => { label(); repaint(); });

  /* Paper is white and narrow, and what is folded away is wanted there too. */
  const PAPER = 670; // A4 and Letter less their margins, in CSS pixels
  let screen = null;
  addEventListener("beforeprint", () => {
    screen = root.dataset.theme ?? "";
    root.dataset.theme = "light";
    document.querySelectorAll("details").forEach((one) => { one.open = true; });
    plots.forEach(draw);
    repaint();
    drawn.forEach((plot) => {
      Plotly.relayout(plot, { width: plot.closest(".pair") ? PAPER / 2 - 10 : PAPER });
    });
  });
  addEventListener("afterprint", () => {
    if (screen) root.dataset.theme = screen; else delete root.dataset.theme;
    drawn.forEach((plot) => Plotly.relayout(plot, { width: null, autosize: true }));
    repaint();
  });

  start();
})();
