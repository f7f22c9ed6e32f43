/** What the commands' own help leaves out. The texts are plain; page.ts turns them into roff. */

export const DESCRIPTION = [
  "gpt2 continues your texts with OpenAI's GPT-2, or writes from nothing; it also trains the model on your own texts, and scores how likely a text is. It needs neither Python nor a GPU.",
  "Two small demo models, stories and shakespeare, come with it. gpt2 download fetches OpenAI's models. Standard output carries samples and results and nothing else; prompts, seeds, progress, warnings and speeds go to standard error.",
  "Options are spelled as in OpenAI's scripts: --top_k 40, --top-k 40, --top_k=40 and --top-k=40 mean the same. Everything after -- is an argument. The same model, options and seed give the same text.",
];

export const EXIT_STATUS: readonly (readonly [string, string])[] = [
  ["0", "done; also when the reader of the output goes away (| head), and when gpt2 serve is told to stop"],
  ["1", "failed: a line on standard error says what to do next"],
  ["2", "wrong usage: an unknown option, a value out of bounds"],
  ["130", "interrupted by Ctrl-C; finetune saves first"],
];

export const ENVIRONMENT: readonly (readonly [string, string])[] = [
  [
    "GPT2_OPTION",
    "an option's default, which overrides config files: GPT2_TOP_K=40; 1 for an option without a value",
  ],
  ["GPT2_NO_CONFIG", "if not empty, neither .gpt2.yaml nor config.yaml is read"],
  ["GPT2_MODELS_DIR", "where models are kept, unless --models_dir is given"],
  ["GPT2_BACKEND", "what computes, unless --backend is given"],
  ["GPT2_API_KEY", "the key that gpt2 serve requires, unless --api_key is given"],
  ["GPT2_BASE_URL", "where gpt2 download fetches from, unless --base_url is given"],
  ["HF_TOKEN, HF_TOKEN_PATH", "a token for models of the Hugging Face hub, or the file that holds one"],
  ["HF_ENDPOINT", "the address of the hub; default https://huggingface.co"],
  ["HF_HOME, HF_HUB_CACHE", "the hub's own cache, from which models are read without the network"],
  ["HF_HUB_OFFLINE", "1: gpt2 download reads only the hub's cache, never the network"],
  ["GPT2_NO_HISTORY", "if 1, gpt2 interactive neither reads nor writes its history file"],
  ["VISUAL, EDITOR", "the editor that /edit of gpt2 interactive starts; VISUAL wins"],
  [
    "HTTPS_PROXY, HTTP_PROXY, ALL_PROXY",
    "the proxy for downloads, as http://HOST:PORT. The lower-case names work too, and win.",
  ],
  ["NO_PROXY", "hosts reached without the proxy, separated by commas"],
  ["DEBUG", "DEBUG=gpt2 shows an error's stack trace, and which backend was chosen and why"],
  ["NO_COLOR", "gpt2 never writes colours, so this changes nothing"],
  ["TERM", "if dumb, no progress bars or control sequences are written"],
  ["XDG_CACHE_HOME", "the parent of gpt2/models, where downloads go on Linux; default ~/.cache"],
  ["XDG_DATA_HOME", "the parent of gpt2/history on Linux; default ~/.local/share"],
  ["XDG_CONFIG_HOME", "the parent of gpt2/config.yaml on Linux; default ~/.config"],
  ["LOCALAPPDATA", "the parent of the cache and the history on Windows"],
  ["TF_CPP_MIN_LOG_LEVEL", "how much libtensorflow logs with --backend tfjs-node; default 2"],
  ["LD_LIBRARY_PATH", "on Linux, where --backend webgpu also looks for libvulkan.so.1"],
];

export const FILES: readonly (readonly [string, string])[] = [
  ["./models", "models, if this folder exists"],
  [
    "~/.cache/gpt2/models",
    "models otherwise; ~/Library/Caches/gpt2/models on macOS, %LOCALAPPDATA%\\gpt2\\Cache\\models on Windows",
  ],
  [
    "~/.config/gpt2/config.yaml",
    "default options, and presets; ~/Library/Preferences/gpt2/config.yaml on macOS, %APPDATA%\\gpt2\\Config\\config.yaml on Windows",
  ],
  ["./.gpt2.yaml", "defaults for the current folder: how texts are made and shown, nothing else"],
  [
    "~/.local/share/gpt2/history",
    "what was typed in gpt2 interactive; ~/Library/Application Support/gpt2/history on macOS, %LOCALAPPDATA%\\gpt2\\Data\\history on Windows",
  ],
  ["./checkpoint/RUN", "what gpt2 finetune saves: a model folder, and the state to continue from"],
  ["./samples/RUN", "samples that it writes during training"],
  ["./gen", "what gpt2 generate --nfiles writes, without --folder"],
  ["./export", "what gpt2 export writes, without --out"],
];

export const SEE_ALSO = ["bash(1)", "fish(1)", "zsh(1)", "parallel(1)"];
