// Says how each scenario of one run of the conformance suite went.
//
//   node summary.mjs REVISION RESULTS      the directory that the suite wrote with -o
//
// Ends with 1 when a scored scenario left no result; whether what failed was expected is for the suite to judge.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';

const [revision, results] = process.argv.slice(2);
const suite = join(dirname(fileURLToPath(import.meta.url)), 'node_modules/@modelcontextprotocol/conformance');
const required = parse(readFileSync(join(suite, `requirements/${revision}.yaml`), 'utf8'));
const unscored = (required.not_scored ?? []).filter(({ leg }) => leg === 'server').map(({ scenario }) => scenario);

/** The checks of a scenario; its directory is named after it and the moment. */
function checks(scenario) {
  const named = new RegExp(`^server-${scenario}-\\d{4}-\\d\\d-\\d\\dT`);
  const directory = existsSync(results) && readdirSync(results).find((name) => named.test(name));
  if (!directory) return undefined;
  const file = join(results, directory, 'checks.json');
  return existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : undefined;
}

const clipped = (text) => (text.length > 400 ? `${text.slice(0, 400)}...` : text);

/** Prints a line for a scenario, and one for each check that is not met. Returns whether it was judged and all are. */
function told(scenario) {
  const found = checks(scenario);
  if (!found) {
    console.log(`  none  ${scenario}: no result`);
    return false;
  }
  const of = (status) => found.filter((check) => check.status === status);
  const unmet = [...of('FAILURE'), ...of('WARNING')];
  const met = of('SUCCESS').length;
  const skipped = of('SKIPPED').length;
  const verdict = unmet.length ? 'FAIL' : met ? 'ok  ' : 'void';
  console.log(`  ${verdict}  ${scenario}: ${met} met, ${unmet.length} not met${skipped ? `, ${skipped} skipped` : ''}`);
  for (const { id, status, errorMessage, description } of unmet) {
    console.log(`          ${status === 'WARNING' ? 'should' : 'must'} ${id}: ${clipped(errorMessage ?? description ?? '')}`);
  }
  return verdict === 'ok  ';
}

console.log(`${revision}, scored:`);
const met = required.server.filter(told).length;
console.log(`${revision}, run and not scored:`);
const more = unscored.filter(told).length;
console.log(
  `${revision}: ${met} of ${required.server.length} scored scenarios pass, and ${more} of ${unscored.length} that are not scored`,
);
if (!required.server.every(checks)) process.exit(1);
