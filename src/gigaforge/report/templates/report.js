"use strict";
(() => {
  const read = (id) => document.getElementById(id).textContent;

  // A chart as wide as its column: single charts stretch, small multiples choose how many stand in a row.
  const fitted = (spec, width) => {
    if (spec.vconcat) {
      // Panels under each other leave room for their axis.
      for (const panel of spec.vconcat) panel.width = Math.max(200, Math.floor(width - 70));
    } else if (spec.facet && !spec.spacing) {
      // Few wide panels with named rows.
      spec.columns = width < 640 ? 1 : Math.min(2, spec.columns || 2);
      spec.spec.width = Math.floor((width - 130 - 24 * spec.columns) / spec.columns);
    } else if (spec.facet) {
      const gap = spec.spacing.column;
      spec.columns = Math.max(2, Math.min(4, Math.floor(width / 200)));
      spec.spec.width = Math.floor((width - 36 - gap * (spec.columns - 1)) / spec.columns);
      if (width < 480) spec.spec.height = 80;
    } else {
      spec.width = "container";
      spec.autosize = { type: "fit-x", contains: "padding" };
    }
    return spec;
  };

  // As many legend entries in a row as the longest name allows; on a narrow page the names of an axis take their share.
  const legendColumns = (spec, width) => {
    const names = [spec, ...(spec.layer || [])].flatMap((part) => part.encoding?.color?.scale?.domain || []);
    const longest = Math.max(names.length ? 8 : 3, ...names.map((name) => String(name).length));
    return Math.max(1, Math.min(6, Math.floor((width - (width < 480 ? 120 : 50)) / (longest * 6.4 + 34))));
  };

  const draw = async (element) => {
    const name = element.dataset.chart;
    const figure = element.closest(".chart");
    const config = JSON.parse(read("chart-config"));
    const spec = JSON.parse(read("chart-" + name));
    config.legend.columns = legendColumns(spec, figure.clientWidth);
    for (const part of [spec, ...(spec.layer || [])]) {
      const own = part.encoding?.color?.legend;
      if (own?.columns) own.columns = Math.min(own.columns, config.legend.columns);
    }
    figure.classList.add("ready");
    fitted(spec, element.clientWidth);
    if (element.view) element.view.finalize();
    try {
      const shown = await window.vegaEmbed(element, spec, { actions: false, renderer: "svg", config });
      element.view = shown.view;
      element.dataset.width = String(element.clientWidth);
      element.dataset.state = "drawn";
    } catch (problem) {
      figure.classList.remove("ready");
      console.error(name, problem);
    }
  };

  const charts = [...document.querySelectorAll("[data-chart]")];
  const all = async () => { for (const element of charts) await draw(element); };
  let waiting;
  window.addEventListener("resize", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => {
      if (charts.some((c) => Math.abs(c.clientWidth - Number(c.dataset.width)) > 4)) all();
    }, 200);
  });
  window.reportReady = all();
})();
