// Writes what follows from the commands' own definitions, as part of `npm run build`: the manual page, dist/man/gpt2.1,
// and what a Tab is answered from.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DEFINITIONS } from "../src/cli/completion/answer.js";
import { describeProgram } from "../src/cli/completion/describe.js";
import { buildProgram } from "../src/cli/main.js";
import { Output } from "../src/cli/terminal/output.js";
import { PACKAGE_ROOT, packageVersion } from "../src/system/package.js";
import { manualPage } from "./man/page.js";

const folder = join(PACKAGE_ROOT, "dist", "man");
mkdirSync(folder, { recursive: true });
const today = new Date().toISOString().slice(0, 10);
const program = await buildProgram(new Output(), () => {});
writeFileSync(join(folder, "gpt2.1"), manualPage(program, packageVersion(), today));
writeFileSync(DEFINITIONS, JSON.stringify(describeProgram(program)));
