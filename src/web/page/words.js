// Figures in words, and the look of a path: nothing here knows of the page.

const COLOURS = 8;
// A line of each kind stays apart from its neighbours where colours look alike.
const DASHES = ["", "9 4", "2 4", "10 3 2 3"];

/** The look of a path: the number of its colour, its dashes. 32 paths have 32 looks. */
export function look(number) {
  return { colour: number % COLOURS, dash: DASHES[(number + Math.floor(number / COLOURS)) % DASHES.length] };
}

/** A part from 0 to 1 as a percentage. */
export function percent(part) {
  if (part === null || part === undefined) return "–";
  const value = part * 100;
  if (value === 0) return "0 %";
  if (value < 0.01) return "< 0.01 %";
  return `${value.toFixed(value < 0.995 ? 2 : value < 9.95 ? 1 : 0)} %`;
}

/** Milliseconds. */
export function milliseconds(ms) {
  if (ms === null || ms === undefined) return "–";
  return `${ms.toFixed(ms < 9.95 ? 1 : 0)} ms`;
}

/** Octets a second in bits, as lines are sold. */
export function bits(octets) {
  if (octets === null || octets === undefined) return "–";
  let value = octets * 8;
  for (const unit of ["bit/s", "kbit/s", "Mbit/s"]) {
    if (value < 999.5) return `${value.toFixed(value < 9.95 && unit !== "bit/s" ? 1 : 0)} ${unit}`;
    value /= 1000;
  }
  return `${value.toFixed(1)} Gbit/s`;
}

/** A whole number with its thousands apart. */
export function count(value) {
  return Math.round(value).toLocaleString("en");
}

/** A time that has passed. */
export function span(seconds) {
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} minutes`;
  if (seconds < 172800) return `${Math.round(seconds / 3600)} hours`;
  return `${Math.round(seconds / 86400)} days`;
}

/** The time of day, so many seconds ago. */
export function clock(ago) {
  return new Date(Date.now() - ago * 1000).toLocaleTimeString("en-GB");
}

/** An element with attributes and children. Text is text, whatever is in it. */
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  return filled(made, attributes, children);
}

/** The same for drawings. */
export function drawn(name, attributes = {}, ...children) {
  return filled(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
}

function filled(made, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}
