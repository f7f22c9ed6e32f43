// Writes OpenAI's vocabulary ready for the encoder, dist/src/encoder/openai.bin: part of `npm run build`.
import { bakeVocabulary } from "../src/encoder/openai.js";

bakeVocabulary();
