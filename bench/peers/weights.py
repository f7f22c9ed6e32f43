"""Random parameters of GPT-2 124M for the peers, under the names of OpenAI's checkpoints."""
import numpy as np

N_VOCAB, N_CTX, N_EMBD, N_HEAD, N_LAYER = 50257, 1024, 768, 12, 12


def parameter_shapes():
    """Name -> shape; the weights of linear layers are [n_in, n_out]."""
    shapes = {"model/wte": (N_VOCAB, N_EMBD), "model/wpe": (N_CTX, N_EMBD)}

    def norm(name):
        shapes[name + "/g"] = shapes[name + "/b"] = (N_EMBD,)

    def linear(name, n_in, n_out):
        shapes[name + "/w"], shapes[name + "/b"] = (n_in, n_out), (n_out,)

    for layer in range(N_LAYER):
        h = f"model/h{layer}"
        norm(h + "/ln_1")
        linear(h + "/attn/c_attn", N_EMBD, 3 * N_EMBD)
        linear(h + "/attn/c_proj", N_EMBD, N_EMBD)
        norm(h + "/ln_2")
        linear(h + "/mlp/c_fc", N_EMBD, 4 * N_EMBD)
        linear(h + "/mlp/c_proj", 4 * N_EMBD, N_EMBD)
    norm("model/ln_f")
    return shapes


def random_parameters():
    """Yields (name, float32 array), the same ones every time: gains around 1, the rest around 0."""
    generator = np.random.default_rng(1)
    for name, shape in parameter_shapes().items():
        values = generator.standard_normal(shape, dtype=np.float32)
        values *= np.float32(0.02)
        if name.endswith("/g"):
            values += np.float32(1)
        yield name, values
