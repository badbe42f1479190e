import { closeSync } from "node:fs";
import { isatty } from "node:tty";

/**
 * Has the process exit with its own code after its terminal was closed. Node sets the terminal back as its last act, and
 * aborts, with a core, when it is not there any more; a descriptor that is closed by then it lets be.
 */
export function surviveClosedTerminal(): void {
  const terminals = [0, 1, 2].filter((descriptor) => isatty(descriptor));
  process.on("exit", () => {
    for (const descriptor of terminals)
      if (!isatty(descriptor))
        try {
          closeSync(descriptor);
        } catch {
          // It was closed before.
        }
  });
}
