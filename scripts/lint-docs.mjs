// Every function, class and interface that a module of src/ exports begins with a doc comment. Part of lint.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import ts from "typescript";

const KINDS = [
  ts.SyntaxKind.FunctionDeclaration,
  ts.SyntaxKind.ClassDeclaration,
  ts.SyntaxKind.InterfaceDeclaration,
];

for (const name of readdirSync("src", { recursive: true }).filter((each) => /(?<!\.d)\.ts$/.test(each))) {
  const path = join("src", name);
  const file = ts.createSourceFile(path, readFileSync(path, "utf8"), ts.ScriptTarget.Latest);
  for (const statement of file.statements) {
    const isExported = statement.modifiers?.some(({ kind }) => kind === ts.SyntaxKind.ExportKeyword);
    if (!isExported || !KINDS.includes(statement.kind)) continue;
    const comments = ts.getLeadingCommentRanges(file.text, statement.pos) ?? [];
    if (comments.some(({ pos }) => file.text.startsWith("/**", pos))) continue;
    const { line } = file.getLineAndCharacterOfPosition(statement.getStart(file));
    console.error(`${path}:${line + 1}: ${statement.name?.text} has no doc comment: what does it do?`);
    process.exitCode = 1;
  }
}
