#!/usr/bin/env node
import { main } from "../src/cli/main.js";

/** `npm run convert_checkpoint -- 117M`: the same as `gpt2 convert 117M`. */
await main(["convert", ...process.argv.slice(2)]);
