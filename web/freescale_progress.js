import { app } from "../../scripts/app.js";

// ComfyUI's own widgets, such as the progress text under a node, come after those of the node's inputs.
const HOST_WIDGET = /^\$\$/;

app.registerExtension({
  name: "FreeScale.ProgressText",
  nodeCreated(node) {
    if (node.comfyClass !== "FreeScaleCascade") return;
    const onSerialize = node.onSerialize;
    node.onSerialize = function (data) {
      onSerialize?.apply(this, arguments);
      // The frontend of ComfyUI 0.3.75 saves the text as one more value, which an input added later would take for its own.
      const first = this.widgets?.findIndex((widget) => HOST_WIDGET.test(widget.name)) ?? -1;
      if (first >= 0) data.widgets_values?.splice(first);
    };
  },
});
