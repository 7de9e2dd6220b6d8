"use strict";
(() => {
  const charts = JSON.parse(document.getElementById("charts").textContent);
  const root = document.documentElement;
  const places = [...document.querySelectorAll("[data-chart]")];
  const config = { responsive: true, displaylogo: false, showSendToCloud: false, plotlyServerURL: "", modeBarButtonsToRemove: ["select2d", "lasso2d"] };
  let condition = document.querySelector("#conditions input:checked")?.value ?? null;

  const colour = (name) => getComputedStyle(root).getPropertyValue(name).trim();

  // What the reader's theme decides; charts bring no colours for these.
  function themed(layout) {
    const [ink, soft, line, paper, tint] = ["--ink", "--soft", "--line", "--paper", "--tint"].map(colour);
    const themedLayout = { ...layout, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: ink, size: 13, ...(layout.font ?? {}) } };
    themedLayout.hoverlabel = { ...(layout.hoverlabel ?? {}), bgcolor: tint, bordercolor: line, font: { color: ink } };
    const axes = new Set(["xaxis", "yaxis", ...Object.keys(layout).filter((key) => /^[xy]axis\d*$/.test(key))]);
    for (const axis of axes) {
      themedLayout[axis] = { gridcolor: line, linecolor: soft, zerolinecolor: line, tickcolor: soft, automargin: true, ...(layout[axis] ?? {}) };
    }
    themedLayout.modebar = { bgcolor: "rgba(0,0,0,0)", color: soft, activecolor: ink };
    return paper ? themedLayout : layout;
  }

  function variantOf(key) {
    const variants = charts[key];
    const names = Object.keys(variants);
    return condition !== null && condition in variants ? condition : names[0];
  }

  function draw(place) {
    const key = place.dataset.chart;
    const name = variantOf(key);
    const figure = structuredClone(charts[key][name]);
    const label = document.querySelector(`[data-for="${key}"]`);
    if (label) label.textContent = `condition ${name}`;
    place.style.height = `${figure.layout.height}px`;  // or a resize would let it collapse
    return Plotly.react(place, figure.data, themed(figure.layout), config).then(() => {
      if (place.dataset.clicks) return;
      place.dataset.clicks = "yes";
      place.on("plotly_click", (event) => {
        const command = event.points[0]?.customdata;
        if (typeof command === "string") copy(command);
      });
    });
  }

  async function drawAll() {
    root.dataset.ready = "no";
    for (const place of places) await draw(place);
    root.dataset.ready = "yes";
  }

  function say(text) {
    const place = document.getElementById("said");
    place.textContent = text;
    place.classList.add("on");
    clearTimeout(say.timer);
    say.timer = setTimeout(() => place.classList.remove("on"), 4000);
  }

  async function copy(text) {
    try {
      await navigator.clipboard.writeText(text);
    } catch {  // a page opened from disk may lack the permission
      const area = document.createElement("textarea");
      area.value = text;
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
    root.dataset.copied = text;
    say(`Copied: ${text}`);
  }

  function sort(header) {
    const table = header.closest("table");
    const index = [...header.parentNode.children].indexOf(header);
    const up = header.getAttribute("aria-sort") !== "ascending";
    for (const other of header.parentNode.children) other.setAttribute("aria-sort", "none");
    header.setAttribute("aria-sort", up ? "ascending" : "descending");
    const number = header.classList.contains("number");
    const body = table.tBodies[0];
    const value = (row) => row.children[index].dataset.order;
    const rows = [...body.rows].sort((a, b) => {
      const [left, right] = [value(a), value(b)];
      if (left === "" || right === "") return (left === "") - (right === "");  // missing ones stay last
      const order = number ? Number(left) - Number(right) : left.localeCompare(right, "en", { numeric: true });
      return up ? order : -order;
    });
    body.append(...rows);
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    if (button.dataset.command) copy(button.dataset.command);
    else if (button.closest("thead")) sort(button.closest("th"));
  });

  document.querySelectorAll("#conditions input").forEach((input) => input.addEventListener("change", () => {
    condition = input.value;
    drawAll();
  }));

  const theme = document.getElementById("theme");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ?? (dark.matches ? "dark" : "light")) === "dark";
  const label = () => { theme.textContent = isDark() ? "Light" : "Dark"; theme.setAttribute("aria-pressed", String(isDark())); };
  theme.addEventListener("click", () => { root.dataset.theme = isDark() ? "light" : "dark"; label(); drawAll(); });
  dark.addEventListener("change", () => { label(); drawAll(); });
  addEventListener("beforeprint", () => {
    document.querySelectorAll("details").forEach((part) => { part.dataset.was = part.open ? "open" : ""; part.open = true; });
    const before = root.dataset.theme;
    root.dataset.theme = "light";
    for (const place of places) { draw(place); Plotly.Plots.resize(place); }
    root.dataset.before = before ?? "";
  });
  addEventListener("afterprint", () => {
    document.querySelectorAll("details").forEach((part) => { part.open = part.dataset.was === "open"; });
    if (root.dataset.before) root.dataset.theme = root.dataset.before; else delete root.dataset.theme;
    drawAll();
  });
  label();
  drawAll();
})();
