#!/usr/bin/env node
// npx tidemark …

import { main } from '../lib/main.mjs';

process.exitCode = await main(process.argv.slice(2));
