// SPDX-License-Identifier: Apache-2.0
// Runs every check with every version of amqplib that package.json names, one line per check.
'use strict';

const { CHECK_TIMEOUT_MS, Skip, useLibrary } = require('./support');

const VERSIONS = ['amqplib-0', 'amqplib-2'];
const checks = [
  ...Object.entries(require('./connections')),
  ...Object.entries(require('./routing')),
  ...Object.entries(require('./messages')),
  ...Object.entries(require('./callbacks')),
].filter(([name]) => process.argv.length < 3 || process.argv.includes(name));

async function limited(promise) {
  let timer;
  const limit = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not done within ${CHECK_TIMEOUT_MS} ms`)),
      CHECK_TIMEOUT_MS);
  });
  try {
    await Promise.race([promise, limit]);
  } finally {
    clearTimeout(timer);
  }
}

async function main() {
  const counts = { ok: 0, failed: 0, skipped: 0 };
  for (const library of VERSIONS) {
    const version = useLibrary(library);
    for (const [name, check] of checks) {
      try {
        await limited(check());
        counts.ok += 1;
        console.log(`ok ${name} (${version})`);
      } catch (error) {
        if (error instanceof Skip) {
          counts.skipped += 1;
          console.log(`skip ${name} (${version}): ${error.message}`);
          continue;
        }
        counts.failed += 1;
        console.log(`not ok ${name} (${version}): ${String(error.message).replace(/\s+/g, ' ')}`);
        console.log(error.stack);
      }
    }
  }
  console.log(`${counts.ok} passed, ${counts.failed} failed, ${counts.skipped} skipped`);
  process.exit(counts.failed ? 1 : 0);
}

// An error that nobody waits for is a failure too, and must say where it came from.
process.on('unhandledRejection', (error) => {
  console.log(`not ok unhandled rejection: ${error && error.stack}`);
  process.exit(1);
});
main();
