import { fuzzTargets } from "./support/campaign.js";

fuzzTargets("hparams", "config");
