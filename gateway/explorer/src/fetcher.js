// Asks the gateway. Whatever it answers, an error's status included, is an answer to show.
import { configuration } from "./configuration.js";

const PRINTABLE = /^[\x21-\x7e]+$/;

const failure = (message) => ({ errors: [{ message }] });

export const makeFetcher = (key, explains) => async (operation) => {
  if (!key) return failure("Enter an API key to ask.");
  if (!PRINTABLE.test(key)) return failure("The API key holds characters that no key has.");
  try {
    return await readAnswer(await ask(meant(operation), key, explains() && !isIntrospection(operation)));
  } catch {
    return failure("The gateway cannot be reached.");
  }
};

// For a moment after the last keystroke GraphiQL names the operation that stood in the editor before.
const meant = ({ operationName, ...operation }) =>
  operation.query.includes(operationName) ? { ...operation, operationName } : operation;

const isIntrospection = ({ operationName }) => operationName === "IntrospectionQuery";

const ask = (operation, key, isExplained) =>
  fetch(configuration.endpoint, {
    method: "POST",
    headers: {
      Accept: "application/graphql-response+json, application/json;q=0.9",
      "Content-Type": "application/json",
      "X-API-Key": key,
      ...(isExplained && { "X-Leaks-Explain": "1" }),
    },
    body: JSON.stringify(operation),
    cache: "no-store",
    credentials: "omit",
    referrerPolicy: "no-referrer",
  });

async function readAnswer(response) {
  const text = await response.text();
  try {
    return JSON.parse(text);
  } catch {
    return failure(`The answer is no JSON; its status is ${response.status}.`);
  }
}
