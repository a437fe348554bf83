/** Builds the extension of JupyterLab: one script, and the description by which a server finds it. */
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { build } from "esbuild";

const NAME = "nbtoolkit-landscape";
const FOLDER = "../nbtoolkit/static/lab";

const project = readFileSync("../pyproject.toml", "utf8");
const version = /^version = "(.*)"$/m.exec(project)[1];
const built = await build({
  entryPoints: ["src/lab/container.ts"],
  bundle: true,
  format: "iife",
  minify: true,
  target: "es2022",
  write: false,
});
const script = built.outputFiles[0].contents;
const hash = createHash("sha256").update(script).digest("hex").slice(0, 16);
const load = `static/remoteEntry.${hash}.js`;
const described = {
  name: NAME,
  version,
  description: "The training runs of this server, beside the notebooks.",
  license: "BSD-3-Clause",
  jupyterlab: { extension: true, outputDir: ".", _build: { load, extension: "./extension" } },
};
const install = {
  packageManager: "python",
  packageName: NAME,
  uninstallInstructions: `pip uninstall ${NAME}`,
};

// The folder itself stays: the environment may hold a link to it.
rmSync(`${FOLDER}/static`, { recursive: true, force: true });
mkdirSync(`${FOLDER}/static`, { recursive: true });
writeFileSync(`${FOLDER}/${load}`, script);
writeFileSync(`${FOLDER}/install.json`, `${JSON.stringify(install, null, 2)}\n`);
writeFileSync(`${FOLDER}/package.json`, `${JSON.stringify(described, null, 2)}\n`);
