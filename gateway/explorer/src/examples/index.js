import leak from "./leak.graphql?raw";
import page from "./page.graphql?raw";
import pivot from "./pivot.graphql?raw";

export const examples = [leak, page, pivot].map((query) => ({ query }));
