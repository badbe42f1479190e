import { readdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { packageRoot } from "../../src/package-root.ts";

/*
 * Some functions answer what they cannot read with a value that looks like any other: `Number("")` is 0, the origin of
 * `tauri://localhost` is "null", and two hosts that are both "" are equal. Each is used where what goes in is known to be
 * readable, or what comes out is looked at, and nowhere else.
 */
interface Kept {
  pattern: RegExp;
  instead: string;
  /** Where it may be used all the same, and why that is safe. */
  allowed: Record<string, string>;
}

const KEPT: Kept[] = [
  {
    pattern: /\bNumber\(|\bparse(?:Int|Float)\(/,
    instead: "wholeNumber of src/whole-number.ts, which is undefined for what is no number",
    allowed: {
      "src/whole-number.ts": "the digits have been looked at",
      "src/protocol/msgpack-lenient.ts": "of a bigint within the bounds of numbers",
      "src/cli/load/frames.ts": "of a bigint",
      "src/cli/main.ts": "of an exit code",
      "src/client/guards.ts": "of what has been found to be a number",
      "src/edge/peers.ts": "of parts of an address",
      "src/edge/uws-emulated.ts": "of a status that was written as one",
      "src/gateway-hosts.ts": "of parts of an address",
    },
  },
  {
    pattern: /\bDate\.parse\(/,
    instead: "a schema's time, or a look at NaN",
    allowed: {
      "src/cli/agents-view.ts": "the SDK has looked at these times",
      "src/client/guards.ts": "NaN is looked at",
      "src/client/watch-buffer.ts": "the SDK has looked at these times",
    },
  },
  {
    pattern: /\bdomainToASCII\(/,
    instead: "parseAuthority of src/authority.ts",
    allowed: { "src/authority.ts": "an empty answer is looked at" },
  },
  {
    pattern:
      /new URL\([^)]*\)\.(?:origin|host|hostname|port)\b|\{[^}]*\b(?:origin|host|hostname|port)\b[^}]*\} = new URL\(/,
    instead: "Origin of src/origin.ts, or parseAuthority of src/authority.ts",
    allowed: {
      "src/cli/load/lean-socket.ts": "the SDK has made this address, with a host",
      "src/cli/target.ts": "for http and ws alone, which have a host",
      "src/gateway-hosts.ts": "an empty host is looked at",
    },
  },
];

const wrong: string[] = [];
for (const file of sourceFiles()) {
  const text = readFileSync(join(packageRoot, file), "utf8").replace(/^\s*(?:\*|\/\/|\/\*).*$/gm, "");
  for (const { pattern, instead, allowed } of KEPT) {
    const [found] = pattern.exec(text) ?? [];
    if (found !== undefined && !(file in allowed)) wrong.push(`${file}: not ${found}: use ${instead}`);
    if (found === undefined && file in allowed)
      wrong.push(`${file}: test/support/sentinels.ts need not allow it any more`);
  }
}
if (wrong.length > 0) {
  console.error(wrong.join("\n"));
  process.exit(1);
}

function sourceFiles(): string[] {
  return ["src", "machines"].flatMap((folder) =>
    readdirSync(join(packageRoot, folder), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && entry.name.endsWith(".ts"))
      .map((entry) => relative(packageRoot, join(entry.parentPath, entry.name))),
  );
}
