import { closeSync, fsyncSync, openSync, readFileSync, renameSync, rmSync, writeSync } from "node:fs";

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
export function writeTokenFile(path: string, token: string): void {
  const draft = `${path}.${process.pid}.new`;
  try {
    // A draft that a crash has left could be readable by others.
    rmSync(draft, { force: true });
    const file = openSync(draft, "wx", 0o600);
    try {
      writeSync(file, `${token}\n`);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(draft, path);
  } catch (error) {
    rmSync(draft, { force: true });
    throw error;
  }
}
