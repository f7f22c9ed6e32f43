// Prints the results of compare.mjs: as a table for people, or as lines of JSON.
import { median } from "../../dist/src/cli/benchmark.js";

/** Median, least and most; undefined for no values. */
export function summary(values) {
  if (values.length === 0) return undefined;
  return { median: median(values), min: Math.min(...values), max: Math.max(...values) };
}

function show(numbers, digits = 1) {
  if (numbers === undefined) return "-";
  const [middle, least, most] = [numbers.median, numbers.min, numbers.max].map((n) => n.toFixed(digits));
  return `${middle} (${least} to ${most})`;
}

function printTable(rows) {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  for (const row of rows) {
    console.log(
      row
        .map((cell, column) => cell.padEnd(widths[column]))
        .join("  ")
        .trimEnd(),
    );
  }
  console.log();
}

/** One line for the machine, one for every peer, one for every ratio. */
export function printJson({ machine, sizes, bandwidth, peers, ratios }) {
  const line = (kind, value) => console.log(JSON.stringify({ kind, ...value }));
  line("machine", { ...machine, ...sizes, bandwidth_gigabytes_per_second: bandwidth });
  for (const peer of peers) line("peer", peer);
  for (const ratio of ratios) line("ratio", ratio);
}

export function printText({ machine, sizes, bandwidth, peers, ratios }) {
  const { cpu, cores, node, load_before, load_after, idle_peers_cores } = machine;
  console.log(`${cpu}, ${cores} cores, Node ${node}, ${sizes.threads} threads`);
  console.log(
    `load average (1 and 5 minutes) ${load_before.join(" ")} before, ${load_after.join(" ")} after`,
  );
  console.log(`idle peers used at most ${idle_peers_cores.toFixed(3)} of a core`);
  if (machine.other_processes_cores !== undefined) {
    const [others, stolen] = [machine.other_processes_cores, machine.stolen_cores].map((n) => n.toFixed(2));
    console.log(`other processes used ${others} of a core, the host kept ${stolen}`);
  }
  if (bandwidth) console.log(`read bandwidth ${show(bandwidth)} GB/s`);
  console.log(
    `\nTokens per second: median (least to most). Decoding ${sizes.length} tokens after ${sizes.prompt}; ` +
      `${sizes.batch} sequences of ${sizes.batch_length} tokens side by side.\n`,
  );
  const kinds = ["decode", `batch of ${sizes.batch}`, `prefill ${sizes.prefill}`];
  const titles = ["peer", ...kinds, ...(bandwidth ? ["share of bandwidth"] : []), "peak MB", "version"];
  printTable([
    titles,
    ...peers.map((peer) => [
      peer.name,
      show(peer.decode),
      show(peer.batch),
      show(peer.prefill),
      ...(bandwidth ? [show(peer.share_of_bandwidth, 2)] : []),
      String(peer.peak_memory_megabytes),
      peer.title,
    ]),
  ]);
  if (ratios.length === 0) return;
  console.log("Ours / peer, round by round: median (least to most)\n");
  printTable([
    ["ours / peer", ...kinds],
    ...ratios.map(({ ours, peer, decode, batch, prefill }) => [
      `${ours} / ${peer}`,
      ...[decode, batch, prefill].map((ratio) => show(ratio, 2)),
    ]),
  ]);
}
