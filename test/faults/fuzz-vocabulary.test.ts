import { fuzzTargets } from "./support/campaign.js";

fuzzTargets("encoder", "tokenizer");
