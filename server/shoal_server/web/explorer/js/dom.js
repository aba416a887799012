/** Elements, made without markup: whatever text comes in stays text. */

/**
 * Makes an element.
 *
 * @param {string} tag its name
 * @param {object} [properties] attributes by name; `class`, `dataset`, `on` (listeners by event) and properties such as
 *   `value` and `checked` are set as what they are; what is null, undefined or false is left out
 * @param {...(Node|string|number|null|undefined|false|Array)} children text is added as text
 * @returns {HTMLElement}
 */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) set(element, name, value);
  append(element, children);
  return element;
}

/** The same for SVG. */
export function svg(tag, properties = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(properties)) set(element, name, value);
  append(element, children);
  return element;
}

/** Puts children, nested arrays among them, in the place of what an element holds. */
export function fill(element, ...children) {
  element.replaceChildren();
  append(element, children);
  return element;
}

/** A click handler's event that a link should be left to: a new tab or window was asked for. */
export function opensElsewhere(event) {
  return event.metaKey || event.ctrlKey || event.shiftKey || event.altKey || event.button > 0;
}

const PROPERTIES = new Set(["value", "checked", "disabled", "selected", "open", "indeterminate", "hidden", "multiple"]);

function set(element, name, value) {
  if (value === null || value === undefined || value === false) return;
  if (name === "on") {
    for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
  } else if (name === "dataset") {
    Object.assign(element.dataset, value);
  } else if (name === "style") {
    // Through the object model, which the content security policy lets through; an attribute it would not.
    for (const [property, each] of Object.entries(value)) element.style.setProperty(property, each);
  } else if (PROPERTIES.has(name) && name in element) {
    element[name] = value;
  } else {
    element.setAttribute(name, value === true ? "" : String(value));
  }
}

function append(element, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false || child === true) continue;
    element.append(child instanceof Node ? child : String(child));
  }
}
