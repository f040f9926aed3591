// Curves of the last 15 minutes: one line for each path, with its number at the end.

import { drawn, element, look } from "./words.js";

const MINUTES = 15;
const SECONDS = MINUTES * 60;
const MARGIN = { left: 66, right: 34, top: 10, bottom: 22 };
const HEIGHT = 190;
/** A gap of more seconds is one in the line. */
const GAP = 12;

/** A figure with a title. Its drawing is made anew by draw(). */
export class Curve {
  constructor(title, format, options = {}) {
    this.format = format;
    this.options = options;
    this.svg = drawn("svg", { role: "img", "aria-label": title });
    this.values = element("p", { class: "values quiet" });
    this.figure = element("figure", { class: options.wide ? "wide" : null },
      element("figcaption", {}, title), this.svg, this.values);
    this.pointer = null;
    this.svg.addEventListener("pointermove", (event) => this.follow(event));
    this.svg.addEventListener("pointerdown", (event) => this.follow(event));
    this.svg.addEventListener("pointerleave", () => { this.pointer = null; this.redraw(); });
  }

  follow(event) {
    this.pointer = event.clientX - this.svg.getBoundingClientRect().left;
    this.redraw();
  }

  redraw() {
    if (this.last) this.draw(...this.last);
  }

  /**
   * lines: [{ number, name, points: [[seconds before now, value or null], ...], total }], oldest point first;
   * a total is what all paths together do. chosen: the number of the path to follow, or null. nothing: what to
   * say where no line has a point.
   */
  draw(lines, chosen, nothing) {
    this.last = [lines, chosen, nothing];
    const width = this.svg.clientWidth || 600;
    const right = width - MARGIN.right;
    const bottom = HEIGHT - MARGIN.bottom;
    const x = (ago) => right - (ago / SECONDS) * (right - MARGIN.left);
    const known = lines.flatMap((line) => line.points.map(([, value]) => value)).filter((value) => value !== null);
    const { least = 0, most = Infinity, base = 10 } = this.options;
    const top = Math.min(nice(Math.max(least, ...known), base), most);
    const y = (value) => bottom - (value / top) * (bottom - MARGIN.top);
    this.svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    const parts = [...this.axes(x, y, top, right, bottom)];
    const ends = [];
    for (const line of [...lines].sort((a, b) => (a.number === chosen) - (b.number === chosen))) {
      const { colour, dash } = look(line.number ?? 0);
      const dim = chosen !== null && line.number !== chosen;
      const style = line.total ? "line total" : `line c${colour}${dim ? " dim" : ""}${line.number === chosen ? " chosen" : ""}`;
      const d = outline(line.points, x, y);
      if (!d) continue;
      parts.push(drawn("path", { d, class: style, "stroke-dasharray": line.total ? null : dash || null }));
      const last = line.points[line.points.length - 1];
      if (last[1] !== null) ends.push({ line, y: y(last[1]), colour, dim });
    }
    parts.push(...labels(ends, right, bottom));
    if (known.length === 0) {
      parts.push(drawn("text", { x: (MARGIN.left + right) / 2, y: HEIGHT / 2, class: "nothing" }, nothing));
    }
    this.tell(parts, lines, x, right, bottom);
    this.svg.replaceChildren(...parts);
  }

  /** Lines and numbers to read the curves by. */
  *axes(x, y, top, right, bottom) {
    for (const part of [0, 0.25, 0.5, 0.75, 1]) {
      const at = y(top * part);
      yield drawn("line", { x1: MARGIN.left, x2: right, y1: at, y2: at, class: part === 0 ? "axis" : "grid" });
      if (part * 2 % 1 === 0) {
        yield drawn("text", { x: MARGIN.left - 6, y: at + 4, class: "scale left" }, this.format(top * part));
      }
    }
    for (const minutes of [15, 10, 5, 0]) {
      const at = x(minutes * 60);
      yield drawn("line", { x1: at, x2: at, y1: bottom, y2: bottom + 4, class: "axis" });
      const text = minutes === 0 ? "now" : `−${minutes} min`;
      yield drawn("text", { x: at, y: bottom + 17, class: minutes === 15 ? "scale" : "scale middle" }, text);
    }
  }

  /** What the lines say where the pointer is. */
  tell(parts, lines, x, right, bottom) {
    this.values.replaceChildren();
    if (this.pointer === null) return;
    const at = Math.min(Math.max(this.pointer, MARGIN.left), right);
    parts.push(drawn("line", { x1: at, x2: at, y1: MARGIN.top, y2: bottom, class: "pointer" }));
    const ago = ((right - at) / (right - MARGIN.left)) * SECONDS;
    const words = [];
    for (const line of lines) {
      let nearest = null;
      for (const point of line.points) {
        if (!nearest || Math.abs(point[0] - ago) < Math.abs(nearest[0] - ago)) nearest = point;
      }
      if (nearest && Math.abs(nearest[0] - ago) < GAP && nearest[1] !== null) {
        words.push(`${line.total ? "tunnel" : line.number}: ${this.format(nearest[1])}`);
      }
    }
    const when = ago < 3 ? "now" : `${Math.floor(ago / 60)}:${String(Math.floor(ago % 60)).padStart(2, "0")} min ago`;
    this.values.textContent = `${when}  ·  ${words.join("  ·  ") || "nothing known"}`;
  }
}

/** The numbers at the ends of the lines, moved apart where they would hide one another. */
function labels(ends, right, bottom) {
  const room = Math.min(13, (bottom - MARGIN.top + 8) / Math.max(1, ends.length));
  ends.sort((a, b) => a.y - b.y);
  ends.forEach((end, index) => {
    end.label = index === 0 ? Math.max(end.y, MARGIN.top) : Math.max(end.y, ends[index - 1].label + room);
  });
  for (let index = ends.length - 1, floor = bottom + 4; index >= 0; index -= 1) {
    ends[index].label = Math.min(ends[index].label, floor);
    floor = ends[index].label - room;
  }
  return ends.flatMap(({ line, y, label, colour, dim }) => [
    drawn("path", { d: `M${right} ${y}L${right + 9} ${label}`, class: `lead c${colour}${line.total ? " total" : ""}` }),
    drawn("text", { x: right + 11, y: label + 4, class: `end t${colour}${line.total ? " total" : ""}${dim ? " dim" : ""}` },
      line.total ? "all" : String(line.number)),
  ]);
}

/** The way of a line, with gaps where nothing is known. */
function outline(points, x, y) {
  let way = "";
  let before = null;
  for (const [ago, value] of points) {
    if (value === null || ago > SECONDS) {
      before = null;
      continue;
    }
    const draws = before !== null && before - ago < GAP;
    way += `${draws ? "L" : "M"}${x(ago).toFixed(1)} ${y(value).toFixed(1)}`;
    // A point alone is a dot.
    if (!draws) way += "h0.1";
    before = ago;
  }
  return way;
}

/** The next round number. */
function nice(value, base) {
  if (value <= 0) return 1;
  const power = base ** Math.floor(Math.log(value) / Math.log(base));
  const steps = [1, 1.5, 2, 3, 4, 5, 6, 8, 10];
  return power * steps.find((step) => step * power >= value * 1.02 || step === 10);
}
