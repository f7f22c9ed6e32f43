/** Packs float32 weights from the checkpoint's order into panels: each thread its share; a barrier must follow. */
import { PANEL } from "../abi";
import { first, next, threadIndex } from "../threads";
import { Pack } from "./model";

/** Source rows read side by side. */
const STRIP: u32 = 16;

/** [n_in, n_out] -> [n_out / 8, n_in, 8] */
export function pack_linear(p: Pack): void {
  const n_in = p.n_in;
  const n_out = p.n_out;
  const whole = n_out & ~(PANEL - 1);
  const line = <usize>n_out << 2;
  const panel = <usize>n_in << 5;
  for (let unit = first((n_in + STRIP - 1) / STRIP); unit >= 0; unit = next()) {
    const begin = <usize>unit * STRIP;
    const end = min<usize>(begin + STRIP, n_in);
    for (let n: u32 = 0; n < whole; n += PANEL) {
      let from = p.from + begin * line + (<usize>n << 2);
      let to = p.to + <usize>(n >> 3) * panel + (begin << 5);
      for (let k = begin; k < end; k++) {
        v128.store(to, v128.load(from));
        v128.store(to, v128.load(from, 16), 16);
        from += line;
        to += 32;
      }
    }
    if (whole < n_out)
      for (let k = begin; k < end; k++) {
        const to = p.to + <usize>(whole >> 3) * panel + (k << 5);
        memory.fill(to, 0, 32);
        memory.copy(to, p.from + k * line + (<usize>whole << 2), (n_out - whole) << 2);
      }
  }
}

/** [n_out, n_in] -> [n_out / 8, n_in, 8] in place: a panel is exactly as large as the 8 rows it is made from. */
export function pack_rows(p: Pack): void {
  const n_in = p.n_in;
  const bytes = <usize>n_in << 2;
  for (let unit = first((p.n_out + PANEL - 1) / PANEL); unit >= 0; unit = next()) {
    const panel = p.to + <usize>unit * (<usize>n_in << 5);
    const rows = p.own + <usize>threadIndex() * p.own_bytes;
    memory.copy(rows, panel, <usize>n_in << 5);
    let i: usize = 0;
    for (; i + 16 <= bytes; i += 16)
      for (let half: usize = 0; half < 2; half++) {
        const from = rows + half * 4 * bytes + i;
        const a = v128.load(from);
        const b = v128.load(from + bytes);
        const c = v128.load(from + 2 * bytes);
        const d = v128.load(from + 3 * bytes);
        const ab = v128.shuffle<f32>(a, b, 0, 4, 1, 5);
        const cd = v128.shuffle<f32>(c, d, 0, 4, 1, 5);
        const ab2 = v128.shuffle<f32>(a, b, 2, 6, 3, 7);
        const cd2 = v128.shuffle<f32>(c, d, 2, 6, 3, 7);
        const to = panel + (i << 3) + (half << 4);
        v128.store(to, v128.shuffle<f32>(ab, cd, 0, 1, 4, 5));
        v128.store(to, v128.shuffle<f32>(ab, cd, 2, 3, 6, 7), 32);
        v128.store(to, v128.shuffle<f32>(ab2, cd2, 0, 1, 4, 5), 64);
        v128.store(to, v128.shuffle<f32>(ab2, cd2, 2, 3, 6, 7), 96);
      }
    for (; i < bytes; i += 4)
      for (let r: usize = 0; r < PANEL; r++)
        store<f32>(panel + (i << 3) + (r << 2), load<f32>(rows + r * bytes + i));
  }
}
