"""GPT-2 124M in PyTorch with a key/value cache: a peer for compare.mjs (see README.md for what it obeys)."""
import argparse
import json
import resource
import sys
import time

import torch
import torch.nn.functional as F

from weights import N_EMBD, N_HEAD, N_LAYER, N_VOCAB, random_parameters

MADE_UP_STEP = 7919  # as in src/cli/benchmark.ts


def made_up_ids(batch, n):
    """[batch, n], the same in every row."""
    return torch.tensor([[i * MADE_UP_STEP % N_VOCAB for i in range(n)]] * batch)


class GPT2:
    def __init__(self):
        self.parameters = {name: torch.from_numpy(values) for name, values in random_parameters()}

    def linear(self, x, name):
        w, b = self.parameters[name + "/w"], self.parameters[name + "/b"]
        return torch.addmm(b, x.reshape(-1, w.shape[0]), w).reshape(*x.shape[:-1], -1)

    def norm(self, x, name):
        return F.layer_norm(x, (N_EMBD,), self.parameters[name + "/g"], self.parameters[name + "/b"], 1e-5)

    def attention(self, x, h, past):
        batch, n, _ = x.shape
        qkv = self.linear(x, h + "/attn/c_attn").reshape(batch, n, 3, N_HEAD, -1)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each [batch, n_head, n, head]
        if past is not None:
            k, v = torch.cat([past[0], k], dim=2), torch.cat([past[1], v], dim=2)
        scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5  # [batch, n_head, n, n_total]
        if n > 1:
            future = torch.ones(n, k.shape[2], dtype=torch.bool).triu(1 + k.shape[2] - n)
            scores.masked_fill_(future, float("-inf"))
        mixed = (scores.softmax(dim=-1) @ v).transpose(1, 2).reshape(batch, n, N_EMBD)
        return self.linear(mixed, h + "/attn/c_proj"), (k, v)

    @torch.no_grad()
    def forward(self, ids, past=None):
        """ids [batch, n] -> logits of the last position [batch, n_vocab], and the cache."""
        begin = 0 if past is None else past[0][0].shape[2]
        wte, wpe = self.parameters["model/wte"], self.parameters["model/wpe"]
        x = wte[ids] + wpe[begin : begin + ids.shape[1]]
        present = []
        for layer in range(N_LAYER):
            h = f"model/h{layer}"
            mixed, kept = self.attention(self.norm(x, h + "/ln_1"), h, past and past[layer])
            present.append(kept)
            x = x + mixed
            hidden = self.linear(self.norm(x, h + "/ln_2"), h + "/mlp/c_fc")
            x = x + self.linear(F.gelu(hidden, approximate="tanh"), h + "/mlp/c_proj")
        return self.norm(x[:, -1], "model/ln_f") @ wte.T, present


def decode(model, batch, prompt, n):
    """Tokens per second after the prompt, and the tokens of the first sequence."""
    logits, past = model.forward(made_up_ids(batch, prompt))
    following = logits.argmax(dim=-1, keepdim=True)
    tokens = []
    started = time.perf_counter()
    for _ in range(n):
        tokens.append(int(following[0]))
        logits, past = model.forward(following, past)
        following = logits.argmax(dim=-1, keepdim=True)
    return batch * n / (time.perf_counter() - started), tokens


def prefill(model, n):
    ids = made_up_ids(1, n)
    started = time.perf_counter()
    model.forward(ids)
    return n / (time.perf_counter() - started)


def say(value):
    print(json.dumps(value), flush=True)


def main():
    parser = argparse.ArgumentParser()
    for name in ("threads", "prompt", "length", "batch", "batch_length", "prefill"):
        parser.add_argument(f"--{name}", type=int, required=True)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    model = GPT2()
    say({"ready": f"PyTorch {torch.__version__}"})
    for line in sys.stdin:
        if line.strip() != "round":
            continue
        rate, tokens = decode(model, 1, options.prompt, options.length)
        batch, _ = decode(model, options.batch, options.prompt, options.batch_length)
        say({"decode": rate, "batch": batch, "prefill": prefill(model, options.prefill), "tokens": tokens[:8]})
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    say({"peak_memory_megabytes": round(kilobytes / 1024)})


main()
