import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { defineConfig, type Plugin } from "vite";

// The first line of the module says which source it was built from: a test without npm can tell when it is old.
function signed(): Plugin {
  return {
    name: "signed",
    generateBundle(_, bundle) {
      const names = readdirSync("src", { recursive: true, encoding: "utf8" }).filter((name) => /\.(ts|css)$/.test(name));
      const paths = [...names.map((name) => `src/${name}`), "package-lock.json", "tsconfig.json", "vite.config.ts"].sort();
      const hash = createHash("sha256");
      for (const path of paths) hash.update(`${path}\0`).update(readFileSync(path)).update("\0");
      for (const file of Object.values(bundle))
        if (file.type === "chunk") file.code = `// Built from source ${hash.digest("hex")}; uPlot: MIT, (c) Leon Sorokin.\n${file.code}`;
    },
  };
}

// One ES module, its styles inside: TensorBoard imports it and calls `render`.
export default defineConfig({
  plugins: [signed()],
  build: {
    lib: { entry: "src/index.ts", formats: ["es"], fileName: () => "index.js" },
    outDir: "../static",
    emptyOutDir: true,
    target: "es2022",
    sourcemap: false,
  },
});
