// Lets the editor style what it draws under a policy that forbids inline styles.
//
// Style elements get this page's nonce. Style attributes in markup are set through the CSSOM instead, which the policy
// leaves to scripts that were let in (Content Security Policy Level 3, section 6.1.15).
import { configuration } from "./configuration.js";

const createElement = document.createElement.bind(document);
const { insertAdjacentHTML, setAttribute } = Element.prototype;
const innerHTML = Object.getOwnPropertyDescriptor(Element.prototype, "innerHTML");

const STYLE_ATTRIBUTE = /(<[a-z][^<>]*?\s)style=/gi;

const setAside = (markup) => String(markup).replace(STYLE_ATTRIBUTE, "$1data-style=");

function apply(root) {
  for (const element of root.querySelectorAll("[data-style]")) {
    element.style.cssText = element.dataset.style;
    element.removeAttribute("data-style");
  }
}

document.createElement = (name, options) => {
  const element = createElement(name, options);
  if (element instanceof HTMLStyleElement) element.nonce = configuration.nonce;
  return element;
};

Object.defineProperty(Element.prototype, "innerHTML", {
  ...innerHTML,
  set(markup) {
    innerHTML.set.call(this, setAside(markup));
    apply(this);
  },
});

Element.prototype.insertAdjacentHTML = function (position, markup) {
  insertAdjacentHTML.call(this, position, setAside(markup));
  apply(this.parentElement ?? this);
};

Element.prototype.setAttribute = function (name, value) {
  if (name === "style") this.style.cssText = value;
  else setAttribute.call(this, name, value);
};
