// Puts inputs out of the way that have no effect, since another input decides: hidden in FreeScale Plan, grey elsewhere.
// Their values stay as they are, and without this file the nodes work the same.
import { app } from "../../scripts/app.js";

const TARGETS = { factor: ["factor"], megapixels: ["megapixels"], "width x height": ["width", "height"], "list of factors": ["factors"] };
const FUSION = ["blur_axes", "sigma", "jitter", "end_percent", "window_width", "window_height"];
const HIDES = new Set(["FreeScalePlan"]);
/** The inputs that decide. Where another node gives one, its value is not known here. */
const DECIDES = {
  FreeScalePlan: ["target"],
  FreeScaleUpscale: ["width", "height"],
  FreeScaleScaleFusion: ["mode"],
  FreeScaleDilatedConv: ["factor"],
  FreeScaleDetailControl: ["enabled"],
};

/** By node: the inputs without effect, from the widgets' values and from what is linked. */
const UNUSED = {
  FreeScalePlan: ({ target }) => Object.entries(TARGETS).flatMap(([name, inputs]) => (name === target ? [] : inputs)),
  FreeScaleCascade: (_, linked) => (linked("plan") ? ["factor"] : []),
  FreeScaleModelPatch: (_, linked) => (linked("plan") ? ["base_width", "base_height"] : []),
  FreeScaleUpscale: ({ width, height }) => (width && height ? ["factor"] : []),
  FreeScaleScaleFusion: ({ mode }) => (mode === "off" ? FUSION : mode?.includes?.("neighbourhood") ? ["jitter"] : []),
  FreeScaleDilatedConv: ({ factor }) => (factor === 1 ? ["end_percent"] : []),
  FreeScaleDetailControl: ({ enabled }) => (enabled ? [] : ["alpha"]),
};

function unusedInputs(node) {
  const values = Object.fromEntries(node.widgets.map((widget) => [widget.name, widget.value]));
  const linked = (name) => node.inputs.some((input) => input.name === name && (input.link ?? null) !== null);
  if (DECIDES[node.comfyClass]?.some(linked)) return [];
  return UNUSED[node.comfyClass](values, linked).filter((name) => !linked(name));
}

/** Older pages do not follow in Nodes 2.0: there all inputs stay as they are. */
function update(node, resize) {
  const [unused, before] = [unusedInputs(node), node.computeSize()[1]];
  const hides = HIDES.has(node.comfyClass);
  let changed = false;
  for (const widget of node.widgets) {
    const off = unused.includes(widget.name);
    if (Boolean(hides ? widget.hidden : widget.disabled) === off) continue;
    changed = true;
    if (!hides) widget.disabled = off;
    else widget.hidden = off;
    if (hides && "getLayoutWidgets" in node) widget.options.hidden = off;
  }
  if (!changed) return;
  if (hides) node.widgets = [...node.widgets]; // Nodes 2.0 sees this, and not what changes in a widget.
  if (resize) node.setSize([node.size[0], node.size[1] + node.computeSize()[1] - before]);
  node.graph?.setDirtyCanvas(true, true);
}

function follow(node) {
  const after = (object, hook, resize) => {
    const before = object[hook];
    object[hook] = function (...values) {
      const result = before?.apply(this, values);
      update(node, resize);
      return result;
    };
  };
  for (const widget of node.widgets) after(widget, "callback", true);
  for (const hook of ["onConnectionsChange", "onConfigure"]) after(node, hook, false);
  update(node, true);
}

app.registerExtension({
  name: "FreeScale.Inputs",
  nodeCreated(node) {
    if (node.comfyClass in UNUSED) follow(node);
  },
});
