// The API key lasts as long as the browser's session, and is kept nowhere else.
const NAME = "leaks-api-key";

export const readKey = () => sessionStorage.getItem(NAME) ?? "";

export function keepKey(key) {
  if (key) sessionStorage.setItem(NAME, key);
  else sessionStorage.removeItem(NAME);
}
