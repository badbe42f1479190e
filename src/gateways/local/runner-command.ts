import { extname } from "node:path";
import { fileURLToPath } from "node:url";
import type { Command } from "./child.ts";
import type { Workspace } from "./workspace.ts";

/** What the runner may know of the server's environment. Secrets and database addresses stay out. */
const PASSED_ON = ["PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "TZ", "NODE_EXTRA_CA_CERTS"];

/** The built-in runner for one workspace: this package's own `muster agent`, from `src/` or compiled. */
export function runnerCommand(workspace: Workspace, serverUrl: string): Command {
  const extension = extname(fileURLToPath(import.meta.url));
  const main = fileURLToPath(new URL(`../../cli/main${extension}`, import.meta.url));
  // The working directory is the workspace, where a bare module name would not be found.
  const loader = extension === ".ts" ? ["--import", import.meta.resolve("tsx")] : [];
  return {
    file: process.execPath,
    args: [
      ...loader,
      main,
      "agent",
      "--url",
      serverUrl,
      "--token-file",
      workspace.tokenFile,
      "--parent-pipe",
    ],
    cwd: workspace.folder,
    env: Object.fromEntries(
      PASSED_ON.flatMap((name) => {
        const value = process.env[name];
        return value === undefined ? [] : [[name, value]];
      }),
    ),
    logFile: workspace.logFile,
  };
}
