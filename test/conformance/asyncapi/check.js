// Reads an AsyncAPI document with AsyncAPI's own parser. Prints one line for
// each finding, and fails when one of them is an error or a warning.
//
//     node check.js asyncapi.yaml
'use strict';

const { readFileSync } = require('node:fs');
const { Parser } = require('@asyncapi/parser');

const severities = ['error', 'warning', 'info', 'hint'];

async function main(path) {
  const { document, diagnostics } = await new Parser().parse(readFileSync(path, 'utf8'));
  for (const d of diagnostics) {
    console.log(`${severities[d.severity]} ${d.code} at ${d.path.join('.') || 'top'}: ${d.message}`);
  }
  if (!document || diagnostics.some((d) => d.severity < 2)) {
    process.exitCode = 1;
    return;
  }
  console.log(`valid: AsyncAPI ${document.version()}, ${document.allChannels().length} channels, ${document.allOperations().length} operations`);
}

main(process.argv[2]).catch((err) => {
  console.error(err);
  process.exitCode = 1;
});
