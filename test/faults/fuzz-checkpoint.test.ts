import { fuzzTargets } from "./support/campaign.js";

fuzzTargets("index", "snappy", "state");
