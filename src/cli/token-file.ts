import { readFileSync } from "node:fs";
import { writeWhole } from "../whole-file.ts";

/** The token in a file, without the space around it. Throws when there is none. */
export function readTokenFile(path: string): string {
  const token = readText(path).trim();
  if (token === "") throw new Error(`${path} holds no token`);
  return token;
}

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    const missing = cause instanceof Error && "code" in cause && cause.code === "ENOENT";
    const why = missing ? "there is no such file" : cause instanceof Error ? cause.message : String(cause);
    throw new Error(`cannot read the token file ${path}: ${why}`, { cause });
  }
}

/** Puts a token in a file that only its owner reads. At no moment does the file hold half a token. */
export function writeTokenFile(path: string, token: string): Promise<void> {
  return writeWhole(path, `${token}\n`);
}
