// Draws what the route /freescale/plan answers. All words come with the answer, in the page's language, and are put in as
// text, never as HTML.
export const WIDTH = 400;
const LINE = 15;
const LEFT = 8;
const RIGHT = WIDTH - LEFT;
const COLUMNS = { stage: LEFT, size: 46, exact: 188, balanced: 244, fast: 282, unet: 346, vae: RIGHT, tokens: 168, attention: 214, operations: 245, near: 296 };
const SPEEDS = { exact: "Exact", balanced: "Balanced", fast: "Fast" };
const BARS = { left: 112, text: 136 };
const PLOT = { left: 36, height: 84 };
const CURVES = ["#d97706", "#16a34a", "#0ea5e9", "#a855f7", "#db2777"];
const BAR = "#3b82f6";
const TEXT = "var(--input-text, currentColor)";
const MUTED = { fill: "var(--descrip-text, currentColor)", "font-size": 10 };
const RULE = "var(--border-color, currentColor)";

const times = ([height, width]) => `${width} × ${height}`;
const rounded = (number) => number.toFixed(number < 100 ? 1 : 0);
/** Of a text at 10 px in units of a Latin letter; Chinese ones are twice as wide. */
const lengthOf = (text) => [...text].reduce((sum, letter) => sum + (letter > "\u2e7f" ? 2 : 1), 0);

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

  /** Words over as many lines as they need; Chinese breaks anywhere. */
  paragraph(words, options) {
    const lines = [""];
    for (const word of words.match(/[\u2e80-\uffff][、。，：；）]*|[^\s\u2e80-\uffff]+\s*|\s+/g) ?? []) {
      if (lengthOf(lines.at(-1) + word.trimEnd()) > 74) lines.push("");
      lines[lines.length - 1] += word;
    }
    for (const line of lines) {
      this.text(LEFT, line.trim(), { ...MUTED, ...options });
      this.y += LINE - 2;
    }
  }

  table({ labels, stages }) {
    this.row({ fast: labels.time, vae: labels.memory }, MUTED);
    this.row({ stage: labels.stage, ...SPEEDS, unet: labels.sampling, vae: labels.vae }, MUTED);
    this.rule();
    for (const [index, stage] of stages.entries()) {
      const numbers = { ...stage, unet: stage.unet_gib, vae: stage.vae_gib };
      const cells = [...Object.keys(SPEEDS), "unet", "vae"].map((name) => [name, rounded(numbers[name])]);
      this.row({ stage: index || labels.base, size: times(stage.size), ...Object.fromEntries(cells) });
    }
    this.rule();
  }

  /** Of a transformer: tokens, and operations of one model call in units of stage 0's. */
  tokens({ labels, stages }) {
    const vae = (cell) => (stages[0].vae_gib === null ? {} : { vae: cell });
    this.row({ near: labels.ofStage0, ...vae(labels.memory) }, MUTED);
    const heads = { tokens: labels.tokens, attention: labels.attention, operations: SPEEDS.exact, near: SPEEDS.balanced };
    this.row({ stage: labels.stage, ...heads, ...vae(labels.vae) }, MUTED);
    this.rule();
    for (const [index, stage] of stages.entries()) {
      const [attention, operations, near] = [stage.attention, stage.operations, stage.balanced].map(rounded);
      const numbers = { tokens: stage.tokens, attention, operations, near };
      this.row({ stage: index || labels.base, size: times(stage.size), ...numbers, ...vae(rounded(stage.vae_gib ?? 0)) });
    }
    this.rule();
  }

  /** All stages together, against ordinary sampling at the last size. */
  bars({ bars, timed }) {
    this.y += 5;
    const unit = (RIGHT - BARS.left - BARS.text) / Math.max(...bars.map((bar) => bar.cost));
    for (const [index, { label, cost, text }] of bars.entries()) {
      const fill = index < bars.length - 1 ? BAR : MUTED.fill;
      this.text(LEFT, label, MUTED);
      this.add("rect", { x: BARS.left, y: this.y - 8, width: cost * unit, height: 8, fill });
      this.text(BARS.left + cost * unit + 5, text);
      this.y += LINE;
    }
    this.paragraph(timed);
    this.y += 3;
    this.rule();
  }

  /** c(t) over t from 1000 to 0. */
  blend({ curves, labels, restart_timestep: restart }) {
    this.y += 3;
    this.paragraph(labels.curves);
    const top = this.y - 5;
    const bottom = top + PLOT.height;
    const x = (t) => PLOT.left + (1 - t / 1000) * (RIGHT - PLOT.left);
    const y = (c) => bottom - c * PLOT.height;
    this.add("path", { d: `M${PLOT.left},${top} V${bottom} H${RIGHT}`, fill: "none", stroke: RULE });
    for (const [index, { label, own, points }] of curves.entries()) {
      const path = points.map(([t, c]) => `${x(t)},${y(c)}`).join(" ");
      const [stroke, bold] = [CURVES[index], own ? { "font-weight": "bold" } : {}];
      this.add("polyline", { points: path, fill: "none", stroke, "stroke-width": own ? 3 : 1.5 });
      this.text(RIGHT, label, { ...MUTED, ...bold, fill: stroke, "text-anchor": "end", y: top + 8 + 12 * index });
    }
    this.text(PLOT.left - 5, labels.close, { ...MUTED, "text-anchor": "end", y: top + 8 });
    this.text(PLOT.left - 5, labels.free, { ...MUTED, "text-anchor": "end", y: bottom });
    this.y = bottom + 12;
    this.text(PLOT.left, labels.noise, MUTED);
    this.text(RIGHT, labels.image, { ...MUTED, "text-anchor": "end" });
    if (restart !== null) {
      const at = x(restart);
      this.add("line", { x1: at, x2: at, y1: top, y2: bottom, stroke: MUTED.fill, "stroke-dasharray": "3 3" });
      this.text(at, labels.restart, { ...MUTED, "text-anchor": "middle" });
    }
    this.y += LINE + 3;
  }
}

/** What the route answered, as an SVG element. */
export function draw(answer) {
  const drawing = new Drawing();
  if (answer.error ?? answer.message) {
    drawing.paragraph(answer.error ?? answer.message, { fill: answer.error ? "var(--error-text, currentColor)" : TEXT });
  } else {
    drawing.paragraph(answer.heading, { fill: TEXT, "font-size": 11, "font-weight": "bold" });
    drawing.paragraph(answer.fit, { fill: TEXT });
    drawing.y += 4;
    if (answer.bars) {
      drawing.table(answer);
      drawing.bars(answer);
    } else drawing.tokens(answer);
    drawing.blend(answer);
    for (const line of answer.settings) drawing.paragraph(line, { fill: TEXT });
    drawing.paragraph(answer.note);
  }
  const height = drawing.y - LINE + LEFT;
  // A fixed size: the classic renderer grows no node with its widgets, and the properties panel is narrower.
  for (const [name, value] of Object.entries({ viewBox: `0 0 ${WIDTH} ${height}`, width: WIDTH, height })) drawing.root.setAttribute(name, value);
  return drawing.root;
}
