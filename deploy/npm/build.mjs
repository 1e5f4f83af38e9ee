#!/usr/bin/env node
// Packs the connector for npm: a package for each platform whose binary is given, and after them the one that people
// install, which asks for these in exactly its own version. The tarballs' paths are the lines on stdout, in the order in
// which they are to be published.
//
//   deploy/npm/build.mjs [--out DIRECTORY] [--version VERSION] [--repository URL] PLATFORM=BINARY...
//
// --out DIRECTORY    where the tarballs go; by default the current directory
// --version VERSION  instead of Cargo.toml's
// --repository URL   where the source is; npm's proof of provenance asks for it
import { execFileSync } from "node:child_process";
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";

// By the names that Node has for a platform: what npm compares with the machine before it installs the package.
const PLATFORMS = {
  "linux-x64": { os: ["linux"], cpu: ["x64"], libc: ["glibc"] },
  "linux-arm64": { os: ["linux"], cpu: ["arm64"], libc: ["glibc"] },
  "darwin-arm64": { os: ["darwin"], cpu: ["arm64"] },
  "darwin-x64": { os: ["darwin"], cpu: ["x64"] },
};

const here = import.meta.dirname ?? new URL(".", import.meta.url).pathname;
const root = resolve(here, "../..");

function die(message) {
  process.stderr.write(`${message}\n`);
  process.exit(1);
}

function asked() {
  const text = { type: "string" };
  const options = { out: { ...text, default: "." }, version: text, repository: text };
  try {
    return parseArgs({ options, allowPositionals: true });
  } catch (error) {
    die(error.message);
  }
}

/** The binary's path of each platform. */
function binaries(pairs) {
  const found = pairs.map((pair) => [pair.slice(0, pair.indexOf("=")), pair.slice(pair.indexOf("=") + 1)]);
  for (const [platform, binary] of found) {
    if (!(platform in PLATFORMS)) die(`the platform "${platform}" is none of ${Object.keys(PLATFORMS).join(", ")}`);
    if (!statSync(binary, { throwIfNoEntry: false })?.isFile()) die(`the binary of ${platform}, "${binary}", is no file`);
  }
  if (found.length === 0) die("give at least one PLATFORM=BINARY");
  return new Map(found);
}

function cargoVersion() {
  return /^version *= *"(.*)"/m.exec(readFileSync(join(root, "Cargo.toml"), "utf8"))[1];
}

const { values, positionals } = asked();
const given = binaries(positionals);
const base = JSON.parse(readFileSync(join(here, "package.json"), "utf8"));
const common = {
  version: values.version ?? cargoVersion(),
  license: base.license,
  ...(values.repository && { repository: { type: "git", url: values.repository } }),
  publishConfig: base.publishConfig,
};
const work = mkdtempSync(join(tmpdir(), "sidegate-npm-"));

function folder(name, manifest, files) {
  const made = join(work, name);
  mkdirSync(made);
  writeFileSync(join(made, "package.json"), `${JSON.stringify(manifest, null, 2)}\n`);
  for (const [source, target, mode] of [[join(root, "LICENSE"), "LICENSE", 0o644], ...files]) {
    copyFileSync(source, join(made, target));
    chmodSync(join(made, target), mode);
  }
  return made;
}

try {
  const folders = [...given].map(([platform, binary]) => {
    const description = `The binary of ${base.name} for ${platform}.`;
    const name = `${base.name}-${platform}`;
    const manifest = { name, description, ...common, ...PLATFORMS[platform], main: "sidegate" };
    return folder(platform, manifest, [[binary, "sidegate", 0o755]]);
  });
  const names = [...given.keys()].map((platform) => `${base.name}-${platform}`);
  const optionalDependencies = Object.fromEntries(names.map((name) => [name, common.version]));
  const files = [["sidegate-connect.js", 0o755], ["README.md", 0o644]].map(([file, mode]) => [join(here, file), file, mode]);
  folders.push(folder("launcher", { ...base, ...common, optionalDependencies }, files));

  const out = resolve(values.out);
  mkdirSync(out, { recursive: true });
  const pack = ["pack", "--ignore-scripts", "--loglevel=error", "--pack-destination", out, ...folders];
  const packed = execFileSync("npm", pack, { cwd: work, encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] });
  for (const tarball of packed.trim().split("\n")) process.stdout.write(`${join(out, tarball)}\n`);
} finally {
  rmSync(work, { recursive: true });
}
