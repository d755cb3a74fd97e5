"use strict";
(() => {
  const read = (id) => document.getElementById(id).textContent;
  const narrow = () => window.matchMedia("(max-width: 640px)").matches;

  // A chart as wide as its column: single charts stretch, small multiples choose how many stand in a row.
  const fitted = (spec, width) => {
    if (spec.facet) {
      const side = 52;
      const columns = Math.max(1, Math.min(4, Math.floor(width / 200)));
      spec.columns = columns;
      spec.spec.width = Math.floor(width / columns) - side;
    } else {
      spec.width = "container";
      spec.autosize = { type: "fit-x", contains: "padding" };
    }
    return spec;
  };

  const draw = async (element) => {
    const name = element.dataset.chart;
    const figure = element.closest(".chart");
    const config = JSON.parse(read("chart-config"));
    if (narrow()) config.legend.columns = 2;
    figure.classList.add("ready");
    const spec = fitted(JSON.parse(read("chart-" + name)), element.clientWidth);
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
