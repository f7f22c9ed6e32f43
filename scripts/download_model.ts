#!/usr/bin/env node
import { main } from "../src/cli/main.js";

/** `npm run download_model -- 117M`: the same as `gpt2 download 117M`. */
await main(["download", ...process.argv.slice(2)]);
