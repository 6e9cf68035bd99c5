// The API key lasts as long as the browser's session, and is kept nowhere else.
import { configuration } from "./configuration.js";

// What was typed over one key to begin with says nothing once the page begins with another: that one is used.
const NAME = ["leaks-api-key", configuration.key].filter(Boolean).join(":");

export const readKey = () => sessionStorage.getItem(NAME) ?? configuration.key ?? "";

export function keepKey(key) {
  if (key) sessionStorage.setItem(NAME, key);
  else sessionStorage.removeItem(NAME);
}
