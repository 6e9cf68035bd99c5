// What the server says of this page: where to ask, the key to begin with (the demo's), and this page's nonce.
// Once read it is taken out of the page, where whatever reads the document would find the key and the nonce.
const element = document.querySelector('meta[name="leaks-explorer"]');

export const configuration = JSON.parse(element.content);

element.remove();
