// Shows the stages of FreeScale Plan below its inputs, before anything runs. All numbers and texts come from the pack's
// route /freescale/plan; nothing of it is saved with a workflow, and without this file the node works the same.
import { app } from "../../scripts/app.js";
import { api } from "../../scripts/api.js";
import { WIDTH, draw } from "./freescale_drawing.js";

const WIDGET_MARGIN = 10;
const WAIT_MS = 150;
/** By node id: Nodes 2.0 may go on showing the element of an earlier node with the same id, for example after Undo. */
const boxes = new Map();

/** The alpha of a FreeScale Model Patch that gets this plan, or nothing. */
function alphaBeside(node) {
  const links = (node.outputs[0].links ?? []).map((id) => node.graph.getLink?.(id) ?? node.graph.links[id]);
  const nodes = links.map((link) => link && node.graph.getNodeById(link.target_id));
  const patch = nodes.find((other) => other?.comfyClass === "FreeScaleModelPatch");
  return patch?.widgets.find((widget) => widget.name === "alpha")?.value ?? "";
}

/** The widgets' values, the names of the inputs that other nodes feed, and what the page knows, as the route's query. */
function query(node) {
  const linked = (node.inputs ?? []).filter((input) => (input.link ?? null) !== null).map((input) => input.name);
  const values = node.widgets.filter((widget) => widget.serialize !== false).map((widget) => [widget.name, widget.value]);
  const language = app.extensionManager?.setting?.get("Comfy.Locale") ?? "en";
  return new URLSearchParams([...values, ["linked", linked.join(",")], ["alpha", alphaBeside(node)], ["language", language]]).toString();
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
    if (!node.graph) return;
    const asked = query(node);
    if (asked === shown) return;
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
  /** After a run the server may know how long it takes. */
  const anew = () => {
    shown = null;
    change();
  };
  for (const input of node.widgets) after(input, "callback", change);
  for (const hook of ["onAdded", "onConnectionsChange", "onConfigure"]) after(node, hook, change);
  const events = { graphChanged: change, execution_success: anew };
  for (const [event, action] of Object.entries(events)) api.addEventListener(event, action);
  after(node, "onRemoved", () => {
    for (const [event, action] of Object.entries(events)) api.removeEventListener(event, action);
  });
  change();
}

app.registerExtension({
  name: "FreeScale.Plan",
  nodeCreated(node) {
    if (node.comfyClass === "FreeScalePlan") showPlan(node);
  },
});
