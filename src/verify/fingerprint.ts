import { createHash } from "node:crypto";

/**
 * A name for a model's numbers, the same however they are stored: the SHA-256 of a line `<name> <check>` for each
 * tensor, in the order of the names.
 * @param checks the CRC-32C (not masked, as TensorFlow stores it) of each tensor's values as little-endian
 *   float32: what the index of a float32 checkpoint carries
 * @returns lower case hexadecimal
 */
export function fingerprint(checks: ReadonlyMap<string, number>): string {
  const lines = [...checks].map(([name, check]) => `${name} ${check.toString(16).padStart(8, "0")}\n`);
  return createHash("sha256").update(lines.sort().join("")).digest("hex");
}
