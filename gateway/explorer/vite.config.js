import { defineConfig } from "vite";

// Everything is a file of our own origin: no inline script, no worker from a blob.
export default defineConfig({
  base: "/graphiql/",
  build: { outDir: "build", assetsInlineLimit: 0, chunkSizeWarningLimit: 10000, modulePreload: { polyfill: false } },
  worker: { format: "es" },
});
