/** `gpt2 serve` as users start and end it. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { describe, test } from "node:test";
import { parseAllDocuments } from "yaml";
import { buildProgram } from "../../dist/src/cli/main.js";
import { Output } from "../../dist/src/cli/terminal/output.js";
import { answered, Client, refused } from "../support/serving.js";
import { assertFails, gpt2, micro, NO_SHELL, ROOT, type Running, startGpt2 } from "../support/spawn.js";

/** Starts it at a free port; its address, once it is ready. */
async function startServing(...args: string[]): Promise<{ running: Running; url: string; port: number }> {
  const running = startGpt2(["serve", ...micro("--port", "0", ...args)]);
  await running.until(/ready at http:\S+\n/, "stderr");
  const [, url] = /ready at (http:\S+)/.exec(running.stderr)!;
  return { running, url, port: Number(new URL(url).port) };
}

describe("gpt2 serve", () => {
  test("says on stderr where it is, and answers", async () => {
    const { running, url } = await startServing("--backend", "wasm");
    assert.match(running.stderr, /^micro \(wasm, float32\) is ready at http:\/\/127\.0\.0\.1:\d+\n$/);
    const body = JSON.stringify({ model: "micro", prompt: "The king", seed: 1, max_tokens: 20 });
    const { choices } = await answered(await fetch(`${url}/v1/completions`, { method: "POST", body }));
    const written = await gpt2([
      "generate",
      "The king",
      ...micro("--seed", "1", "--length", "20", "--include_prefix", "false"),
    ]);
    assert.equal(`${choices[0].text}\n`, written.stdout);
    running.child.kill();
    const { stdout } = await running.ended;
    assert.equal(stdout, "");
  });

  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    test(`${signal}: what runs is finished, then it exits with 0; a second one ends it at once`, {
      skip: NO_SHELL,
    }, async () => {
      const { running, port } = await startServing();
      const asked = { prompt: "x", seed: 1, stream: true, ignore_eos: true };
      const first = (await Client.open(port)).ask({ ...asked, max_tokens: 300 });
      await first.until(/data: /);
      running.child.kill(signal);
      await first.until(/\[DONE\]/);
      const { code, stderr } = await running.ended;
      assert.equal(code, 0, stderr);
      assert.equal(stderr.split("\n").length, 2, stderr);

      const other = await startServing();
      const endless = (await Client.open(other.port)).ask({ ...asked, n: 8, max_tokens: 16_000 });
      await endless.until(/data: /);
      other.running.child.kill(signal);
      await assert.rejects(async () => {
        for (;;) await (await fetch(`${other.url}/health`)).text(); // until it takes no more
      });
      other.running.child.kill(signal);
      assert.equal((await other.running.ended).code, 130);
      await endless.closed;
    });
  }

  test("a key from the option or the environment, and who is warned", async () => {
    const open = await startServing("--host", "0.0.0.0");
    assert.match(
      open.running.stderr,
      /^warning: anyone who can reach 0\.0\.0\.0:0 can use the model: --api_key requires/m,
    );
    open.running.child.kill();
    const running = startGpt2(["serve", ...micro("--port", "0", "--host", "0.0.0.0")], {
      env: { GPT2_API_KEY: "secret" },
    });
    await running.until(/ready at http:\S+\n/, "stderr");
    assert.doesNotMatch(running.stderr, /warning/);
    const [, port] = /ready at http:\S+:(\d+)/.exec(running.stderr)!;
    await refused(await fetch(`http://127.0.0.1:${port}/v1/models`), 401);
    running.child.kill();
    await Promise.all([open.running.ended, running.ended]);
  });

  test("what cannot be: one line each", async () => {
    const taken = createServer().listen(0, "127.0.0.1");
    await new Promise((resolve) => taken.once("listening", resolve));
    const { port } = taken.address() as { port: number };
    const serve = (...args: string[]) => gpt2(["serve", ...micro(...args)]);
    assertFails(await serve("--port", String(port)), 1, /127\.0\.0\.1:\d+ is in use: choose another --port/);
    taken.close();
    assertFails(
      await serve("--host", "203.0.113.1", "--api_key", "k"),
      1,
      /203\.0\.113\.1 is not an address of this machine/,
    );
    assertFails(await serve("--port", "65536"), 2, /--port must be a whole number from 0 to 65535/);
    assertFails(await serve("--api_key", "a b"), 2, /--api_key must consist of printable ASCII/);
    assertFails(
      await serve("--cors", "example.org"),
      2,
      /--cors must be an origin like https:\/\/example.org/,
    );
    assertFails(await serve("--grace", "-1"), 2, /--grace must be a number of seconds from 0/);
    assertFails(await serve("--max_batch", "0"), 2, /--max_batch/);
  });
});

test("deploy/serve.yaml: a Deployment, a Service and an autoscaler that fit each other and the program", async () => {
  const documents = parseAllDocuments(readFileSync(join(ROOT, "deploy", "serve.yaml"), "utf8"));
  assert.deepEqual(
    documents.flatMap(({ errors }) => errors),
    [],
  );
  const [deployment, service, scaler] = documents.map((each) => each.toJS());
  assert.deepEqual(
    [deployment.kind, service.kind, scaler.kind],
    ["Deployment", "Service", "HorizontalPodAutoscaler"],
  );
  assert.equal(scaler.spec.scaleTargetRef.name, deployment.metadata.name);
  const { template, selector } = deployment.spec;
  assert.deepEqual(selector.matchLabels, template.metadata.labels);
  assert.deepEqual(service.spec.selector, template.metadata.labels);
  assert.equal(template.spec.enableServiceLinks, false); // $GPT2_PORT would be the Service's
  const [container] = template.spec.containers;
  const [port] = container.ports;
  assert.equal(service.spec.ports[0].targetPort, port.name);
  assert.equal(template.metadata.annotations["prometheus.io/port"], String(port.containerPort));
  for (const probe of ["startupProbe", "readinessProbe", "livenessProbe"]) {
    assert.deepEqual(container[probe].httpGet, { path: "/health", port: port.name });
  }
  assert.ok(container.resources.limits.memory && container.resources.requests.cpu);
  const [command, ...args] = container.args as string[];
  assert.equal(command, "serve");
  const program = await buildProgram(new Output(), () => {});
  const serve = program.commands.find((each) => each.name() === "serve")!;
  const known = new Map(serve.options.map(({ long, defaultValue }) => [long, defaultValue]));
  for (const name of args.filter((arg) => arg.startsWith("--"))) assert.ok(known.has(name), name);
  assert.equal(known.get("--port"), port.containerPort);
  assert.ok(template.spec.terminationGracePeriodSeconds > Number(args[args.indexOf("--grace") + 1]));
  const [{ pods }] = scaler.spec.metrics;
  const { Metrics } = await import("../../dist/src/serve/metrics.js");
  assert.ok(Metrics);
  assert.equal(pods.metric.name, "gpt2_sequences_waiting");
});
