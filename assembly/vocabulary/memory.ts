/** The first free byte; below it are these globals and the table of characters. */
let free: usize = 0x10000;

/** Allocates zeroed memory, which is never freed. */
export function reserve(length: usize): usize {
  const at = free;
  free = (at + length + 15) & ~15;
  const pages = <i32>((free + 0xffff) >>> 16) - memory.size();
  if (free < at || (pages > 0 && memory.grow(pages) < 0)) unreachable();
  return at;
}
