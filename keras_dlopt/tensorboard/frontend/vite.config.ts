import { defineConfig } from "vite";

// One ES module, its styles inside: TensorBoard imports it and calls `render`.
export default defineConfig({
  build: {
    lib: { entry: "src/index.ts", formats: ["es"], fileName: () => "index.js" },
    outDir: "../static",
    emptyOutDir: true,
    target: "es2022",
    sourcemap: false,
  },
});
