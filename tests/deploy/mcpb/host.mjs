// What a client makes of an unpacked bundle, by the reference implementation: node host.mjs FOLDER USER_CONFIG prints the
// command that it would start, or null where the user's settings do not suffice.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const [folder, settings] = process.argv.slice(2);
const { getMcpConfigForManifest } = createRequire(join(process.cwd(), "package.json"))("@anthropic-ai/mcpb/node");
const config = await getMcpConfigForManifest({
  manifest: JSON.parse(readFileSync(join(folder, "manifest.json"), "utf8")),
  extensionPath: folder,
  systemDirs: {},
  userConfig: JSON.parse(settings),
  pathSeparator: "/",
});
process.stdout.write(JSON.stringify(config ?? null));
