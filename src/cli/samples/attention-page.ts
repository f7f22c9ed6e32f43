import { attentionReport } from "../../report/attention-report.js";
import type { Attention } from "../../sampling/attention.js";
import { isWhole } from "../../sampling/pieces.js";
import type { TokenTexts } from "../../sampling/token-texts.js";

export { attentionOf } from "../../sampling/attention.js";

/** The page of a text's attention. */
export function attentionPage(
  texts: TokenTexts,
  attention: Attention,
  { title, summary }: { readonly title: string; readonly summary: string },
): string {
  const tokens = attention.ids.map((id) => {
    const bytes = [...texts.tokenBytes(id)];
    return { text: Buffer.from(bytes).toString("utf8"), isText: isWhole({ bytes }) };
  });
  const { n_layer, n_head } = attention;
  const words = `${summary}: ${tokens.length} tokens, ${n_layer} layers of ${n_head} heads`;
  return attentionReport({ title, summary: words, tokens }, attention);
}
