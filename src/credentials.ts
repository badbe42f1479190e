import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { ConfigError } from "./config.ts";
import { writeWhole } from "./whole-file.ts";

/** The server's address and its owner's token, so that the command line needs no flags. */
export interface Credentials {
  url: string;
  token: string;
}

/** Where they are kept. */
export function credentialsFile(dataDir: string): string {
  return join(dataDir, "credentials.json");
}

/**
 * The kept credentials; undefined when there are none. Throws ConfigError for a file that cannot be read as such: written
 * anew, it would cost the owner the only copy of a token.
 */
export async function readCredentials(dataDir: string): Promise<Credentials | undefined> {
  const file = credentialsFile(dataDir);
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw new ConfigError(`${file}: cannot be read: ${error instanceof Error ? error.message : error}`);
  }
  const kept = parse(text);
  if (kept) return kept;
  throw new ConfigError(
    `${file}: it ${text.trim() === "" ? "is empty" : "is damaged"}, and should be {"url": "…", "token": "…"}: put it back from a ` +
      "backup. If it is lost, move it away: the server runs without it, but the command line then needs --token or MUSTER_TOKEN",
  );
}

export async function writeCredentials(dataDir: string, credentials: Credentials): Promise<void> {
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  await writeWhole(credentialsFile(dataDir), `${JSON.stringify(credentials, null, 2)}\n`);
}

function parse(text: string): Credentials | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null || !("url" in value) || !("token" in value))
    return undefined;
  const { url, token } = value;
  return typeof url === "string" && typeof token === "string" && token !== "" ? { url, token } : undefined;
}
