import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { UsageError, UserError } from "../../system/errors.js";
import { fileError } from "../../system/files.js";
import { decodeText } from "../../system/text-encoding.js";

/** Runs the editor on a file, by the shell, as $EDITOR may have arguments. @returns its exit code */
function runEditor(editor: string, file: string): Promise<number | null> {
  const child =
    process.platform === "win32"
      ? spawn(`${editor} "${file}"`, { shell: true, stdio: "inherit" })
      : spawn("sh", ["-c", `${editor} "$1"`, "sh", file], { stdio: "inherit" });
  return new Promise((resolve, reject) => child.on("error", reject).on("close", resolve));
}

/**
 * Lets the user edit a text in $VISUAL or $EDITOR. A newline that the editor appends does not count.
 * @returns the edited text; undefined if the editor failed, as vim does on :cq
 * @throws UserError when no editor is set, or the text cannot be written
 */
export async function editText(text: string): Promise<string | undefined> {
  const editor = process.env["VISUAL"] || process.env["EDITOR"];
  if (!editor)
    throw new UsageError("there is no editor", { next: "set $VISUAL or $EDITOR, such as EDITOR=nano" });
  const folder = await mkdtemp(join(tmpdir(), "gpt2-edit-")).catch((error) => {
    throw fileError("create a folder in", tmpdir(), error);
  });
  const file = join(folder, "text.txt");
  try {
    await writeFile(file, `${text}\n`, { mode: 0o600 });
    const code = await runEditor(editor, file).catch((error) => {
      throw new UserError(`cannot start ${editor}: ${String(error)}`, { next: "set $VISUAL or $EDITOR" });
    });
    if (code !== 0) return undefined;
    return decodeText(await readFile(file))
      .replaceAll("\r\n", "\n")
      .replace(/\n$/, "");
  } catch (error) {
    throw error instanceof UserError ? error : fileError("edit", file, error);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
