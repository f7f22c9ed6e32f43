import * as zlib from "node:zlib";
import { createCrc } from "./crc.js";

/** zlib.crc32 came with Node 20.15 and 22.2; the types that we build with do not know it. */
const native = (zlib as { crc32?: (bytes: Uint8Array, crc?: number) => number }).crc32;

/** CRC-32 as in zlib, gzip and PNG: continues `crc` over the bytes. */
export const crc32 = native ?? createCrc(0xedb88320);
