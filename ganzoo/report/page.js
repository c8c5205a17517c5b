"use strict";
// The page works without this: it adds the charts, and moves the samples over time.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const at = (id) => document.getElementById(id);
  const made = (name, text, properties) =>
    Object.assign(document.createElement(name), { textContent: text || "" }, properties);
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const counted = (number) => Math.round(number).toLocaleString("en");
  const figure = (value) => (value == null ? "-" : String(Number(value.toPrecision(4))));
  const several = data.runs.length > 1;

  // Curves.

  const charts = [];
  const whole = [Infinity, -Infinity];
  for (const run of data.runs)
    for (const images of run.log.images) {
      whole[0] = Math.min(whole[0], images);
      whole[1] = Math.max(whole[1], images);
    }
  let shown = [...whole];
  let weight = 0;

  // An average that forgets, of which the start is taken out (Kingma and Ba 2015, section 3).
  function smooth(values) {
    if (!weight) return values;
    let sum = 0;
    let left = 1;
    return values.map((value) => {
      if (value == null) return null;
      sum = weight * sum + (1 - weight) * value;
      left *= weight;
      return sum / (1 - left);
    });
  }

  function curves(chart) {
    const found = [];
    data.runs.forEach((run, place) =>
      chart.names.forEach((name, part) => {
        const [images, values] =
          chart.source === "log"
            ? [run.log.images, run.log.figures[name]]
            : [run.scores[name]?.images, run.scores[name]?.values];
        if (!values) return;
        const label = several ? `${run.name}: ${name}` : name;
        found.push({ images, values, label, key: several ? place : part, dashed: several && part });
      }),
    );
    return found;
  }

  const joined = (found) => uPlot.join(found.map((each) => [each.images, smooth(each.values)]));

  function axis(size) {
    const line = { stroke: () => colour("--line"), width: 1 };
    const text = { stroke: () => colour("--soft"), font: "12px system-ui, sans-serif" };
    return { ...text, size, grid: line, ticks: line };
  }

  const short = (value) =>
    new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 4 }).format(value);

  function options(chart, found, width) {
    return {
      width,
      height: 220,
      cursor: {
        drag: { x: true, y: false },
        // Where the pointer is, all charts show; what is zoomed, `show` tells them.
        sync: { key: "images", filters: { pub: (kind) => /^mouse(move|leave)$/.test(kind) } },
        bind: { dblclick: () => () => show(whole) },
      },
      legend: { markers: { dash: (_, i) => (found[i - 1]?.dashed ? "dashed" : "solid") } },
      scales: { x: { time: false } },
      axes: [
        { ...axis(34), values: (_, ticks) => ticks.map(short) },
        { ...axis(56), values: (_, ticks) => ticks.map(short) },
      ],
      series: [
        { label: "images", value: (_, value) => (value == null ? "-" : counted(value)) },
        ...found.map((each) => ({
          label: each.label,
          stroke: () => colour(`--c${each.key % 8}`),
          width: 2,
          dash: each.dashed ? [6, 4] : undefined,
          spanGaps: true,
          points: { show: each.values.length < 40, size: 5 },
          value: (_, value) => figure(value),
        })),
      ],
      hooks: { setSelect: [(plot) => selected(plot)] },
    };
  }

  function selected(plot) {
    const { left, width } = plot.select;
    if (width > 0) show([plot.posToVal(left, "x"), plot.posToVal(left + width, "x")]);
  }

  function show(range) {
    const least = Math.max((whole[1] - whole[0]) / 1e4, 1);
    const middle = (range[0] + range[1]) / 2;
    const half = Math.max((range[1] - range[0]) / 2, least / 2);
    shown = [Math.max(middle - half, whole[0]), Math.min(middle + half, whole[1])];
    if (shown[1] <= shown[0]) shown = [whole[0], whole[0] + 1];
    for (const { plot } of charts) plot.setScale("x", { min: shown[0], max: shown[1] });
  }

  function zoom(factor, middle = (shown[0] + shown[1]) / 2) {
    const half = ((shown[1] - shown[0]) / 2) * factor;
    show([middle - half, middle + half]);
  }

  function move(share) {
    const step = (shown[1] - shown[0]) * share;
    const kept = Math.min(Math.max(step, whole[0] - shown[0]), whole[1] - shown[1]);
    show([shown[0] + kept, shown[1] + kept]);
  }

  function draw(chart) {
    const box = made("div", "", { className: "chart" });
    const title = made("h3", chart.title);
    const canvas = made("div", "", { tabIndex: 0 });
    const said = made("output");
    canvas.setAttribute("role", "group");
    canvas.setAttribute("aria-label", `Chart: ${chart.title}`);
    canvas.setAttribute("aria-describedby", "keys");
    box.append(title, canvas, said);
    at("charts").append(box);
    const found = curves(chart);
    const drawn = { chart, found, box, canvas, said, title, at: -1 };
    drawn.plot = new uPlot(options(chart, found, box.clientWidth), joined(found), canvas);
    canvas.addEventListener("keydown", (event) => pressed(drawn, event));
    new ResizeObserver(() => {
      if (box.clientWidth) drawn.plot.setSize({ width: box.clientWidth, height: 220 });
    }).observe(box);
    charts.push(drawn);
    return drawn;
  }

  function pressed(drawn, event) {
    const { plot } = drawn;
    const centre = drawn.at < 0 ? undefined : plot.data[0][drawn.at];
    const keys = {
      ArrowLeft: () => point(drawn, -1),
      ArrowRight: () => point(drawn, 1),
      "+": () => zoom(0.5, centre),
      "=": () => zoom(0.5, centre),
      "-": () => zoom(2, centre),
      0: () => show(whole),
    };
    if (!(event.key in keys) || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    keys[event.key]();
  }

  function point(drawn, step) {
    const { plot } = drawn;
    const images = plot.data[0];
    const inside = images.flatMap((x, i) => (x >= shown[0] && x <= shown[1] ? [i] : []));
    if (!inside.length) return;
    const next = drawn.at < 0 ? inside[step < 0 ? inside.length - 1 : 0] : drawn.at + step;
    drawn.at = Math.min(Math.max(next, inside[0]), inside[inside.length - 1]);
    plot.setCursor({ left: plot.valToPos(images[drawn.at], "x"), top: plot.bbox.height / 4 });
    const values = drawn.found.map((each, i) => `${each.label} ${figure(plot.data[i + 1][drawn.at])}`);
    drawn.said.textContent = `after ${counted(images[drawn.at])} images: ${values.join(", ")}`;
  }

  function again() {
    for (const { plot, found } of charts) plot.setData(joined(found));
    show(shown);
  }

  function further(name) {
    const last = charts.findIndex((drawn) => drawn.further);
    if (last >= 0) {
      charts[last].plot.destroy();
      charts[last].box.remove();
      charts.splice(last, 1);
    }
    if (!name) return;
    draw({ title: name, source: "log", names: [name] }).further = true;
    show(shown);
  }

  function begin() {
    if (whole[0] > whole[1]) {
      at("charts").append(made("p", "The log has no line of figures yet.", { className: "none" }));
      at("keys").hidden = true;
      return;
    }
    at("tools").hidden = false;
    data.charts.forEach(draw);
    const names = new Set(data.runs.flatMap((run) => Object.keys(run.log.figures)));
    const there = new Set(data.charts.flatMap((chart) => chart.names));
    at("further").append(made("option", "none", { value: "" }));
    for (const name of names)
      if (!there.has(name)) at("further").append(made("option", name, { value: name }));
    at("further").addEventListener("change", (event) => further(event.target.value));
    at("smoothing").addEventListener("input", (event) => {
      weight = Number(event.target.value);
      at("smoothed").textContent = weight ? weight.toFixed(2) : "none";
      again();
    });
    const buttons = {
      in: () => zoom(0.5),
      out: () => zoom(2),
      earlier: () => move(-0.5),
      later: () => move(0.5),
      whole: () => show(whole),
    };
    for (const [id, act] of Object.entries(buttons)) at(id).addEventListener("click", act);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () =>
      charts.forEach(({ plot }) => plot.redraw()),
    );
    show(whole);
  }

  // Samples over time.

  document.querySelectorAll("figure.moments").forEach((box) => {
    const run = data.runs[Number(box.dataset.run)];
    const [image, slider, said] = ["img", "input", "output"].map((each) => box.querySelector(each));
    const moments = [...run.moments, { images: run.last, picture: image.src }];
    const text = (moment) => `after ${counted(moment.images)} images`;
    slider.setAttribute("aria-valuetext", text(moments[moments.length - 1]));
    slider.addEventListener("input", () => {
      const moment = moments[Number(slider.value)];
      image.src = moment.picture;
      image.alt = `Samples of ${run.name}, drawn ${text(moment)}`;
      said.textContent = text(moment);
      slider.setAttribute("aria-valuetext", text(moment));
    });
  });

  begin();
})();
