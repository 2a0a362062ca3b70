// Shows the stages of FreeScale Plan below its inputs, before anything runs. All numbers come from the pack's route
// /freescale/plan; nothing of it is saved with a workflow, and without this file the node works the same.
import { app } from "../../scripts/app.js";
import { api } from "../../scripts/api.js";

const WIDTH = 400;
const LINE = 15;
const LEFT = 8;
const RIGHT = WIDTH - LEFT;
const COLUMNS = { stage: LEFT, size: 22, factor: 146, windows: 192, exact: 232, fast: 294, unet: 346, vae: RIGHT };
const PLOT = { left: 24, height: 92 };
const CURVES = ["#d97706", "#16a34a", "#3b82f6", "#a855f7"];
const WIDGET_MARGIN = 10;
const WAIT_MS = 150;
const TEXT = "var(--input-text, currentColor)";
const MUTED = { fill: "var(--descrip-text, currentColor)", "font-size": 10 };
const RULE = "var(--border-color, currentColor)";
/** By node id: Nodes 2.0 may go on showing the element of an earlier node with the same id, for example after Undo. */
const boxes = new Map();

const times = ([height, width]) => `${width} × ${height}`;
const rounded = (number) => number.toFixed(number < 100 ? 1 : 0);

/** A drawing that grows downwards; y is the baseline of the next line. */
class Drawing {
  constructor() {
    this.root = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    this.y = LINE;
  }

  add(tag, attributes, content = "") {
    const element = document.createElementNS(this.root.namespaceURI, tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.textContent = content;
    this.root.append(element);
  }

  text(x, content, options) {
    this.add("text", { x, y: this.y, fill: TEXT, "font-size": 11, ...options }, content);
  }

  /** One line of the table; all but stage and size end at their column. */
  row(cells, options) {
    for (const [name, content] of Object.entries(cells)) {
      this.text(COLUMNS[name], content, { "text-anchor": COLUMNS[name] > COLUMNS.size ? "end" : "start", ...options });
    }
    this.y += LINE;
  }

  rule() {
    const y = this.y - LINE + 5;
    this.add("line", { x1: LEFT, x2: RIGHT, y1: y, y2: y, stroke: RULE });
    this.y += 4;
  }

  /** Words over as many lines as they need. */
  paragraph(words, options) {
    for (const line of words.match(/.{1,76}(\s|$)/g) ?? [words]) {
      this.text(LEFT, line.trim(), { ...MUTED, ...options });
      this.y += LINE - 2;
    }
  }

  table(plan) {
    this.row({ fast: "cost, base = 1", vae: "estimated GiB" }, MUTED);
    this.row({ size: "stage", factor: "factor", windows: "windows", exact: "Exact", fast: "Balanced", unet: "UNet", vae: "VAE" }, MUTED);
    this.rule();
    for (const [index, stage] of plan.stages.entries()) {
      const { size, scale, windows } = stage;
      const [exact, fast, unet, vae] = [stage.exact, stage.fast, stage.unet_gib, stage.vae_gib].map(rounded);
      this.row({ stage: index, size: times(size), factor: scale.toFixed(2), windows, exact, fast, unet, vae });
    }
    this.rule();
  }

  /** All stages together, against ordinary sampling at the last size. */
  cost(plan) {
    this.y += 5;
    const left = 92;
    const unit = (RIGHT - left - 36) / Math.max(plan.exact, plan.direct);
    for (const [label, cost, fill] of [
      ["all, Exact", plan.exact, CURVES[2]],
      ["all, Balanced", plan.fast, CURVES[2]],
      ["direct sampling", plan.direct, MUTED.fill],
    ]) {
      this.text(LEFT, label, MUTED);
      this.add("rect", { x: left, y: this.y - 8, width: cost * unit, height: 8, fill });
      this.text(left + cost * unit + 5, rounded(cost));
      this.y += LINE;
    }
    this.rule();
  }

  /** c(t) over t from 1000 to 0. */
  blend(plan) {
    this.text(LEFT, "c(t), the hold on the stage before, from noise to picture", MUTED);
    const top = this.y + 8;
    const bottom = top + PLOT.height;
    const x = (t) => PLOT.left + (1 - t / 1000) * (RIGHT - PLOT.left);
    const y = (c) => bottom - c * PLOT.height;
    this.add("path", { d: `M${PLOT.left},${top} V${bottom} H${RIGHT}`, fill: "none", stroke: RULE });
    for (const [index, { alpha, points }] of plan.curves.entries()) {
      const path = points.map(([t, c]) => `${x(t)},${y(c)}`).join(" ");
      this.add("polyline", { points: path, fill: "none", stroke: CURVES[index], "stroke-width": 1.5 });
      this.text(RIGHT, `alpha ${alpha}`, { ...MUTED, fill: CURVES[index], "text-anchor": "end", y: top + 8 + 12 * index });
    }
    this.text(PLOT.left - 5, "1", { ...MUTED, "text-anchor": "end", y: top + 8 });
    this.text(PLOT.left - 5, "0", { ...MUTED, "text-anchor": "end", y: bottom });
    this.y = bottom + 12;
    this.text(PLOT.left, "t 1000", MUTED);
    this.text(RIGHT, "0", { ...MUTED, "text-anchor": "end" });
    if (plan.restart_timestep !== null) {
      const at = x(plan.restart_timestep);
      this.add("line", { x1: at, x2: at, y1: top, y2: bottom, stroke: MUTED.fill, "stroke-dasharray": "3 3" });
      this.text(at, `stages start at ${plan.restart_timestep}`, { ...MUTED, "text-anchor": "middle" });
    }
    this.y += LINE + 3;
  }
}

/** What the route answered, as an SVG element. */
function draw(answer) {
  const drawing = new Drawing();
  if (answer.error ?? answer.message) {
    drawing.paragraph(answer.error ?? answer.message, { fill: answer.error ? "var(--error-text, currentColor)" : TEXT, "font-size": 10 });
  } else {
    drawing.table(answer);
    drawing.paragraph(answer.fit, { fill: TEXT });
    drawing.cost(answer);
    drawing.blend(answer);
    for (const line of answer.settings) drawing.paragraph(line, { fill: TEXT });
    drawing.paragraph(`Cost of the UNet with ${answer.steps} steps. GiB: an estimate for SDXL in fp16, the VAE as it will be used here. With FreeU, its filter takes ${rounded(answer.stages.at(-1).freeu_gib)} GiB of the last stage's UNet.`);
  }
  const height = drawing.y - LINE + LEFT;
  // A fixed size: the classic renderer grows no node with its widgets, and the properties panel is narrower.
  for (const [name, value] of Object.entries({ viewBox: `0 0 ${WIDTH} ${height}`, width: WIDTH, height })) drawing.root.setAttribute(name, value);
  return drawing.root;
}

/** The widgets' values and the names of the inputs that other nodes feed, as the route's query. */
function query(node) {
  const linked = (node.inputs ?? []).filter((input) => (input.link ?? null) !== null).map((input) => input.name);
  const values = node.widgets.filter((widget) => widget.serialize !== false).map((widget) => [widget.name, widget.value]);
  return new URLSearchParams([...values, ["linked", linked.join(",")]]).toString();
}

/** Call `action` after a hook of one object, whatever else listens there. */
function after(object, hook, action) {
  const before = object[hook];
  object[hook] = function (...values) {
    const result = before?.apply(this, values);
    action();
    return result;
  };
}

function showPlan(node) {
  const box = document.createElement("div");
  let [height, shown, timer] = [300, null, null];
  const options = { serialize: false, hideOnZoom: false, margin: WIDGET_MARGIN, getMinHeight: () => height + 2 * WIDGET_MARGIN };
  const widget = node.addDOMWidget("stages", "freescale_plan", box, options);
  widget.serialize = false;
  node.setSize([WIDTH + 4 * WIDGET_MARGIN, node.computeSize()[1]]);

  const show = async () => {
    const asked = query(node);
    if (asked === shown || !node.graph) return;
    shown = asked;
    const answer = await api
      .fetchApi(`/freescale/plan?${asked}`)
      .then((reply) => reply.json())
      .catch(() => ({ message: "The server does not answer, so the stages are not shown." }));
    if (asked !== shown || !node.graph) return; // Something changed meanwhile.
    const picture = draw(answer);
    height = picture.viewBox.baseVal.height;
    box.style.minHeight = `${height}px`;
    box.replaceChildren(picture);
    const earlier = boxes.get(node.id);
    if (!box.isConnected && node.graph === app.canvas.graph) earlier?.replaceWith(box);
    boxes.set(node.id, box);
    node.setSize([node.size[0], Math.max(node.size[1], node.computeSize()[1])]);
    node.graph.setDirtyCanvas(true, true);
  };
  const change = () => {
    clearTimeout(timer);
    timer = setTimeout(show, WAIT_MS);
  };
  for (const input of node.widgets) after(input, "callback", change);
  for (const hook of ["onAdded", "onConnectionsChange", "onConfigure"]) after(node, hook, change);
  api.addEventListener("graphChanged", change);
  after(node, "onRemoved", () => api.removeEventListener("graphChanged", change));
  change();
}

app.registerExtension({
  name: "FreeScale.Plan",
  nodeCreated(node) {
    if (node.comfyClass === "FreeScalePlan") showPlan(node);
  },
});
