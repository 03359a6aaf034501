/* Elements are made with text as text only: what strangers wrote never becomes markup. */
function make(namespace, name, attributes, ...children) {
  const element = document.createElementNS(namespace, name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== null) element.setAttribute(key, value);
  }
  element.append(...children.filter((child) => child !== null).map((child) =>
    child instanceof Node ? child : document.createTextNode(child)));
  return element;
}

const html = (name, attributes, ...children) =>
  make("http://www.w3.org/1999/xhtml", name, attributes, ...children);
const svg = (name, attributes, ...children) =>
  make("http://www.w3.org/2000/svg", name, attributes, ...children);
const text = (x, y, words, of = "", anchor = "start") =>
  svg("text", { x, y, class: of, "text-anchor": anchor }, words);
const $ = (id) => document.getElementById(id);

/* A picture with its description in words. */
function picture(width, height, description, ...children) {
  return svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": description }, ...children);
}

function path(points) {
  let pen = "M";
  let line = "";
  for (const point of points) {
    if (point === null) {
      pen = "M";
      continue;
    }
    line += `${pen}${point[0].toFixed(1)} ${point[1].toFixed(1)}`;
    pen = "L";
  }
  return line;
}
