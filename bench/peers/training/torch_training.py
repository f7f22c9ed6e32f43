"""Training steps of GPT-2 in PyTorch (autograd, Adam), for ../../training.mjs: the same made-up ids, random weights.

With PyTorch's own LayerNorm, GELU and mask, or (--written_out) with these operation by operation, as OpenAI's
src/model.py has them: the usual port.
"""
import argparse
import json
import math
import resource
import sys
import time

import torch
import torch.nn.functional as F

MADE_UP_STEP = 7919  # as in src/cli/benchmark.ts


class GPT2:
    def __init__(self, options):
        self.n_embd, self.n_head, self.n_layer = options.n_embd, options.n_head, options.n_layer
        self.written_out = options.written_out
        torch.manual_seed(1)
        n = options.n_embd
        self.parameters = {"wte": self.normal(options.n_vocab, n), "wpe": self.normal(options.n_ctx, n)}
        for layer in range(options.n_layer):
            for name, n_in, n_out in [
                ("c_attn", n, 3 * n), ("attn_proj", n, n), ("c_fc", n, 4 * n), ("mlp_proj", 4 * n, n),
            ]:
                self.parameters[f"h{layer}/{name}/w"] = self.normal(n_in, n_out)
                self.parameters[f"h{layer}/{name}/b"] = torch.zeros(n_out)
            self.add_norm(f"h{layer}/ln_1")
            self.add_norm(f"h{layer}/ln_2")
        self.add_norm("ln_f")
        for parameter in self.parameters.values():
            parameter.requires_grad_()

    @staticmethod
    def normal(*shape):
        return torch.randn(*shape) * 0.02

    def add_norm(self, name):
        self.parameters[name + "/g"] = torch.ones(self.n_embd)
        self.parameters[name + "/b"] = torch.zeros(self.n_embd)

    def linear(self, x, name):
        w = self.parameters[name + "/w"]
        return torch.addmm(self.parameters[name + "/b"], x.reshape(-1, w.shape[0]), w).reshape(*x.shape[:-1], -1)

    def norm(self, x, name):
        if self.written_out:
            centred = x - x.mean(dim=-1, keepdim=True)
            variance = (centred * centred).mean(dim=-1, keepdim=True)
            normed = centred * torch.rsqrt(variance + 1e-5)
            return normed * self.parameters[name + "/g"] + self.parameters[name + "/b"]
        return F.layer_norm(x, (self.n_embd,), self.parameters[name + "/g"], self.parameters[name + "/b"], 1e-5)

    def gelu(self, x):
        if self.written_out:
            return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)))
        return F.gelu(x, approximate="tanh")

    def masked(self, scores, future):
        if self.written_out:
            seen = 1 - future.to(scores.dtype)
            return scores * seen - 1e10 * (1 - seen)
        return scores.masked_fill(future, float("-inf"))

    def attention(self, x, h, future):
        batch, n, _ = x.shape
        qkv = self.linear(x, h + "/c_attn").reshape(batch, n, 3, self.n_head, -1)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each [batch, n_head, n, head]
        scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])  # [batch, n_head, n, n]
        mixed = self.masked(scores, future).softmax(dim=-1) @ v
        return self.linear(mixed.transpose(1, 2).reshape(batch, n, -1), h + "/attn_proj")

    def loss(self, rows):
        """rows [batch, n + 1]"""
        ids, targets = rows[:, :-1], rows[:, 1:]
        n = ids.shape[1]
        future = torch.ones(n, n, dtype=torch.bool).triu(1)
        x = self.parameters["wte"][ids] + self.parameters["wpe"][:n]
        for layer in range(self.n_layer):
            h = f"h{layer}"
            x = x + self.attention(self.norm(x, h + "/ln_1"), h, future)
            hidden = self.gelu(self.linear(self.norm(x, h + "/ln_2"), h + "/c_fc"))
            x = x + self.linear(hidden, h + "/mlp_proj")
        logits = self.norm(x, "ln_f") @ self.parameters["wte"].T
        return F.cross_entropy(logits.reshape(-1, logits.shape[-1]), targets.reshape(-1))


def say(value):
    print(json.dumps(value), flush=True)


def main():
    parser = argparse.ArgumentParser()
    names = ["batch", "tokens", "steps", "threads", "n_vocab", "n_ctx", "n_embd", "n_head", "n_layer"]
    for name in names:
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--written_out", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    model = GPT2(options)
    optimizer = torch.optim.Adam(model.parameters.values(), lr=1e-4)
    rows = torch.tensor(
        [[(b + i * MADE_UP_STEP) % options.n_vocab for i in range(options.tokens + 1)] for b in range(options.batch)]
    )

    def step(rows):
        optimizer.zero_grad()
        loss = model.loss(rows)
        loss.backward()
        optimizer.step()
        return loss.item()

    step(rows[:1, :65])  # as the other side: nothing is timed that is done for the first time
    form = ", written out" if options.written_out else ""
    say({"ready": f"PyTorch {torch.__version__} ({options.threads} threads{form})"})
    for line in sys.stdin:
        if line.strip() != "round":
            continue
        started = time.perf_counter()
        for _ in range(options.steps):
            loss = step(rows)
        seconds = time.perf_counter() - started
        say({"rate": options.batch * options.tokens * options.steps / seconds, "loss": loss})
    say({"peak_memory_megabytes": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)})


main()
