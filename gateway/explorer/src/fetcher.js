// Asks the gateway. Whatever it answers, an error's status included, is an answer to show.
import { configuration } from "./configuration.js";

export const makeFetcher = (key) => async (operation) => {
  if (!key) return { errors: [{ message: "Enter an API key to ask." }] };
  const response = await fetch(configuration.endpoint, {
    method: "POST",
    headers: {
      Accept: "application/graphql-response+json, application/json;q=0.9",
      "Content-Type": "application/json",
      "X-API-Key": key,
    },
    body: JSON.stringify(operation),
    cache: "no-store",
    credentials: "omit",
    referrerPolicy: "no-referrer",
  });
  return readAnswer(response);
};

async function readAnswer(response) {
  const text = await response.text();
  try {
    return JSON.parse(text);
  } catch {
    return { errors: [{ message: `The answer is no JSON; its status is ${response.status}.` }] };
  }
}
