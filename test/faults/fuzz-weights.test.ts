import { fuzzTargets } from "./support/campaign.js";

fuzzTargets("manifest", "safetensors");
