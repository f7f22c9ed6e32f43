import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { validate } from "dockerfile-utils";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const read = (name: string): string => readFileSync(join(ROOT, name), "utf8");

interface Stage {
  readonly from: string;
  readonly name: string;
  /** Without comments, continued lines joined, blanks squeezed; FROM is left out. */
  readonly steps: readonly string[];
}

/** The stages of a Dockerfile, in order. */
function stagesOf(file: string): Stage[] {
  const text = read(file)
    .replace(/^\s*#.*\n/gm, "")
    .replace(/\\\n/g, " ");
  const stages: { from: string; name: string; steps: string[] }[] = [];
  for (const line of text.split("\n").map((each) => each.trim().replace(/\s+/g, " "))) {
    const from = /^FROM (\S+)(?: AS (\S+))?$/.exec(line);
    if (from) stages.push({ from: from[1], name: from[2] ?? "", steps: [] });
    else if (line) stages.at(-1)?.steps.push(line); // before the first, ARG alone may be
  }
  return stages;
}

for (const file of ["Dockerfile.cpu", "Dockerfile.gpu"]) {
  describe(file, () => {
    const stages = stagesOf(file);
    const result = stages[stages.length - 1];
    const named = (name: string): Stage => {
      const stage = stages.find((each) => each.name === name);
      assert.ok(stage, `no stage ${name}`);
      return stage;
    };

    test("a Dockerfile linter finds nothing", () => {
      const found = validate(read(file)).map(({ message, range }) => `${range.start.line + 1}: ${message}`);
      assert.deepEqual(found, []);
    });

    test("packages are installed before the sources are copied: their layer outlives a changed source", () => {
      const { steps } = named("build");
      const order = [
        "COPY package.json package-lock.json ./",
        "RUN npm ci",
        "COPY . .",
        "RUN npm run build",
      ].map((start) => steps.findIndex((step) => step.startsWith(start)));
      assert.ok(!order.includes(-1), String(order));
      assert.deepEqual(
        order,
        [...order].sort((a, b) => a - b),
      );
    });

    test("the result's packages are neither dev nor optional, and come from no other stage", () => {
      const install = named("dependencies").steps.filter((step) => step.startsWith("RUN npm"));
      assert.deepEqual(install, ["RUN npm ci --omit=dev --omit=optional --ignore-scripts"]);
      const copied = result.steps.filter((step) => step.includes("/opt/gpt2/node_modules"));
      assert.deepEqual(copied, ["COPY --from=dependencies /opt/gpt2/node_modules node_modules"]);
      assert.ok(!result.steps.some((step) => /npm|COPY \. /.test(step)));
    });

    test("what builds the page is installed: esbuild's program is an optional package", () => {
      const { packages } = JSON.parse(read("package-lock.json"));
      assert.ok(packages["node_modules/@esbuild/linux-x64"].optional);
      assert.ok(named("build").steps.includes("RUN npm ci --ignore-scripts"));
    });

    test("gpt2 serve's port is named", async () => {
      const { buildProgram } = await import("../dist/src/cli/main.js");
      const { Output } = await import("../dist/src/cli/terminal/output.js");
      const { commands } = await buildProgram(new Output(), () => {}, ["serve"]);
      const serve = commands.find((command) => command.name() === "serve");
      const port = serve?.options.find(({ long }) => long === "--port")?.defaultValue;
      assert.ok(result.steps.includes(`EXPOSE ${port}`));
    });

    test("models come before everything that changes with the sources", () => {
      const at = (part: string): number => result.steps.findIndex((step) => step.includes(part));
      assert.ok(at("--from=model") >= 0 && at("--from=model") < at("--from=build"));
    });

    test("not root, and every word after the image's name reaches the entry point", () => {
      assert.equal(result.steps.filter((step) => step.startsWith("USER")).join(), "USER node");
      assert.ok(result.steps.includes('ENTRYPOINT ["gpt2-entrypoint"]')); // a string would run in a shell
      assert.ok(result.steps.includes('CMD ["--help"]'));
      assert.ok(
        result.steps.some((step) => step.startsWith("ENV") && step.includes("GPT2_MODELS_DIR=/models")),
      );
    });

    test("only converted weights leave the stage that downloads, and MODEL=none downloads nothing", () => {
      const { steps } = named("model");
      assert.ok(steps.includes("ARG MODEL=117M") && steps.includes('ARG BASE_URL=""'));
      const run = steps.filter((step) => step.startsWith("RUN")).join("\n");
      assert.match(run, /if \[ "\$MODEL" != none \]/);
      assert.match(run, /download "\$MODEL" --models_dir "\$files" \$\{BASE_URL:\+--base_url "\$BASE_URL"\}/);
      assert.match(run, /convert "\$MODEL" --models_dir "\$files" --out "\/models\/\$MODEL"/);
    });
  });
}

test("both images build the program and fetch the model in the same way", () => {
  const [cpu, gpu] = ["Dockerfile.cpu", "Dockerfile.gpu"].map((file) => stagesOf(file).slice(0, 3));
  assert.deepEqual(gpu, cpu);
});

describe("the GPU image's engine", () => {
  const stages = stagesOf("Dockerfile.gpu");
  const stepsOf = (name: string): string =>
    stages.find((each) => each.name === name)?.steps.join("\n") ?? assert.fail(`no stage ${name}`);

  test("WebGPU is what it has unless told otherwise, in the versions that package.json takes", () => {
    assert.match(read("Dockerfile.gpu"), /^ARG ENGINE=webgpu\n/m);
    assert.match(stages.at(-1)?.from ?? "", /^\$\{ENGINE\}$/);
    const steps = stepsOf("webgpu");
    assert.match(steps, /\blibvulkan1\b/);
    assert.match(steps, /NVIDIA_DRIVER_CAPABILITIES=\S*\bgraphics\b/); // the toolkit puts Vulkan's driver in for it
    const { peerDependencies } = JSON.parse(read("package.json")) as {
      peerDependencies: Record<string, string>;
    };
    for (const name of ["webgpu", "@tensorflow/tfjs-backend-webgpu"]) {
      const version = peerDependencies[name].replace(/^[~^]/, "");
      assert.ok(steps.includes(` ${name}@${version} `), `${name}@${version}`);
    }
  });

  test("TensorFlow's library stands on the CUDA that it asks for", () => {
    assert.equal(stages.find(({ name }) => name === "cuda")?.from, "tensorflow/tensorflow:2.9.1-gpu");
    assert.equal(stages.find(({ name }) => name === "tfjs-node-gpu")?.from, "cuda");
    assert.match(stepsOf("tfjs-node-gpu-packages"), /npm install @tensorflow\/tfjs-node-gpu@4\.22\.0 /);
  });
});

test(".dockerignore keeps everything out but what is named", () => {
  const [first, ...rest] = read(".dockerignore")
    .split("\n")
    .filter((line) => line && !line.startsWith("#"));
  assert.equal(first, "*");
  assert.ok(rest.every((line) => line.startsWith("!")));
  for (const needed of ["package.json", "package-lock.json", "tsconfig.json", "bin", "src", "scripts"]) {
    assert.ok(rest.includes(`!${needed}`), needed);
  }
  assert.ok(
    rest.includes("!models/shakespeare") && rest.includes("!models/stories") && !rest.includes("!models"),
  );
});

describe("docker/entrypoint.sh", {
  skip: process.platform === "win32" && "it runs in a container only",
}, () => {
  let folder: string;
  const fake = (name: string, script: string): void => {
    writeFileSync(join(folder, name), `#!/bin/sh\n${script}\n`);
    chmodSync(join(folder, name), 0o755);
  };
  before(() => {
    folder = mkdtempSync(join(tmpdir(), "gpt2-docker-"));
    // As in the image: a link on the PATH to bin/gpt2.js, beside which dist/ lies.
    mkdirSync(join(folder, "opt", "bin"), { recursive: true });
    fake(join("opt", "bin", "gpt2.js"), 'echo "gpt2 of $#:$*"; exit 3');
    symlinkSync(join(ROOT, "dist"), join(folder, "opt", "dist"));
    symlinkSync(join(folder, "opt", "bin", "gpt2.js"), join(folder, "gpt2"));
    fake("convert", "echo a program of another package"); // as ImageMagick's
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  const enter = (...words: string[]): { stdout: string; status: number | null } =>
    spawnSync("sh", [join(ROOT, "docker/entrypoint.sh"), ...words], {
      encoding: "utf8",
      env: { ...process.env, PATH: `${folder}:${process.env["PATH"]}` },
    });

  test("every command of gpt2 goes to gpt2, even where another program has its name", () => {
    const help = spawnSync(process.execPath, [join(ROOT, "bin/gpt2.js"), "--help"], { encoding: "utf8" });
    const list = help.stdout.slice(help.stdout.indexOf("\nCommands:\n"));
    const commands = [...list.matchAll(/^ {2}([a-z]+) /gm)].map((match) => match[1]);
    assert.ok(commands.includes("interactive") && commands.includes("convert"), String(commands));
    for (const name of commands) {
      fake(name, "echo another program of this name");
      const { stdout, status } = enter(name, "--top_k", "40");
      assert.equal(stdout, `gpt2 of 3:${name} --top_k 40\n`);
      assert.equal(status, 3);
    }
  });

  test("options, nothing, and what is no program go to gpt2, words unbroken", () => {
    assert.equal(enter("--version").stdout, "gpt2 of 1:--version\n");
    assert.equal(enter().stdout, "gpt2 of 0:\n");
    assert.equal(enter("Once upon", "a  time").stdout, "gpt2 of 2:Once upon a  time\n");
  });

  test("another program runs as it is, with its own exit code", () => {
    const { stdout, status } = enter("sh", "-c", 'echo "$0 $1"; exit 7', "two words", "*");
    assert.equal(stdout, "two words *\n");
    assert.equal(status, 7);
    assert.equal(enter("gpt2", "generate", "x y").stdout, "gpt2 of 2:generate x y\n");
  });
});
