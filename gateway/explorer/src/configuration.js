// What the server says of this page: where to ask, the key to begin with (the demo's), and this page's nonce.
export const configuration = JSON.parse(document.querySelector('meta[name="leaks-explorer"]').content);
