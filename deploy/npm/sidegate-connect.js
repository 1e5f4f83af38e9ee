#!/usr/bin/env node
// Starts the connector that was installed for this platform, and is out of its way: the binary has the client's own pipes,
// is sent the signals, and its end is the end of this. Standard output is the protocol's, so nothing here writes to it.
"use strict";

const { spawn } = require("node:child_process");
const { constants } = require("node:os");
const { name, optionalDependencies: prebuilt } = require("./package.json");

const platform = `${process.platform}-${process.arch}`;
const wanted = `${name}-${platform}`;

function fail(message) {
  process.stderr.write(`sidegate-connect: ${message}\n`);
  process.exitCode = 1;
}

/** The path of the binary, which is the `main` of the platform's package; undefined where that is not installed. */
function installed() {
  try {
    return require.resolve(wanted);
  } catch (error) {
    if (error.code !== "MODULE_NOT_FOUND") throw error;
  }
}

function missing() {
  const instead = 'build Sidegate from its source and start "sidegate connect" instead';
  if (!(wanted in prebuilt)) {
    const there = Object.keys(prebuilt).map((known) => known.slice(name.length + 1));
    return `there is no prebuilt binary for ${platform}, only for ${there.join(", ")}: ${instead}`;
  }
  if (process.platform === "linux" && !process.report.getReport().header.glibcVersionRuntime) {
    return `the prebuilt binary for ${platform} needs glibc, which this system does not have: ${instead}`;
  }
  return `the package ${wanted}, which holds the binary, is not installed: install ${name} again without --omit=optional`;
}

function run(binary) {
  let child;
  // Before the start: one that comes early waits until the child is there.
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal));
  child = spawn(binary, ["connect", ...process.argv.slice(2)], { stdio: "inherit" });
  child.on("error", (error) => fail(`${binary} cannot be started: ${error.message}`));
  child.on("exit", (code, signal) => {
    process.exitCode = code ?? 128 + constants.signals[signal];
    if (signal) {
      process.removeAllListeners(signal);
      process.kill(process.pid, signal);
    }
  });
}

const binary = installed();
if (binary) run(binary);
else fail(missing());
