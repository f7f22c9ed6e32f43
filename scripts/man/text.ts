/** What the commands' own help does not say. Texts are plain; page.ts writes them as roff. */

export const DESCRIPTION = [
  "gpt2 continues your texts with OpenAI's GPT-2, or writes from nothing; it trains the model on your own texts, and tells how likely it finds a text. It needs neither Python nor a GPU.",
  "Two small demo models, stories and shakespeare, are part of the program. gpt2 download fetches OpenAI's models. Standard output carries samples and results and nothing else; prompts, seeds, progress, warnings and speeds go to standard error.",
  "Options are spelled as in OpenAI's scripts: --top_k 40, --top-k 40, --top_k=40 and --top-k=40 mean the same. Everything behind -- is an argument. The same model, options and seed give the same text.",
];

export const EXIT_STATUS: readonly (readonly [string, string])[] = [
  ["0", "done; also where the reader of the output has gone (| head)"],
  ["1", "failed: a line on standard error says what to do next"],
  ["2", "wrong usage: an unknown option, a value out of its bounds"],
  ["130", "interrupted by Ctrl-C; finetune has saved by then"],
];

export const ENVIRONMENT: readonly (readonly [string, string])[] = [
  ["GPT2_MODELS_DIR", "where models are, where --models_dir does not say"],
  ["GPT2_BACKEND", "what computes, where --backend does not say"],
  ["GPT2_BASE_URL", "where gpt2 download fetches from, where --base_url does not say"],
  ["GPT2_NO_HISTORY", "if not empty, gpt2 interactive neither reads nor keeps the lines of other sessions"],
  [
    "HTTPS_PROXY, HTTP_PROXY, ALL_PROXY",
    "the proxy of downloads, as http://HOST:PORT. In lower case, too, which wins.",
  ],
  ["NO_PROXY", "hosts that are reached without it, parted by commas"],
  ["DEBUG", "DEBUG=gpt2 shows where an error happened, and which backend was chosen and why"],
  ["NO_COLOR", "gpt2 writes no colours, with or without it"],
  ["TERM", "with dumb, neither progress bars nor control sequences are written"],
  ["XDG_CACHE_HOME", "the folder of gpt2/models, where downloads go on Linux; ~/.cache without it"],
  ["XDG_DATA_HOME", "the folder of gpt2/history on Linux; ~/.local/share without it"],
  ["LOCALAPPDATA", "the folder of both on Windows"],
  ["TF_CPP_MIN_LOG_LEVEL", "how much libtensorflow says with --backend tfjs-node; 2 without it"],
  ["LD_LIBRARY_PATH", "on Linux, where libvulkan.so.1 is looked for too, for --backend webgpu"],
];

export const FILES: readonly (readonly [string, string])[] = [
  ["./models", "models, if this folder exists"],
  [
    "~/.cache/gpt2/models",
    "models otherwise; ~/Library/Caches/gpt2/models on macOS, %LOCALAPPDATA%\\gpt2\\Cache\\models on Windows",
  ],
  [
    "~/.local/share/gpt2/history",
    "what was typed in gpt2 interactive; ~/Library/Application Support/gpt2/history on macOS, %LOCALAPPDATA%\\gpt2\\Data\\history on Windows",
  ],
  ["./checkpoint/RUN", "what gpt2 finetune saves: a model folder, and the state to go on from"],
  ["./samples/RUN", "samples that it writes meanwhile"],
  ["./gen", "what gpt2 generate --nfiles writes, without --folder"],
  ["./export", "what gpt2 export writes, without --out"],
];

export const SEE_ALSO = ["bash(1)", "fish(1)", "zsh(1)", "parallel(1)"];
