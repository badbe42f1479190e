#!/usr/bin/env -S node --max-semi-space-size=128
// Room for what is young: when a whole fleet comes back, collecting it with the usual 16 MiB takes a third of the CPU.
import { stripVTControlCharacters } from "node:util";
import { type CommandDef, defineCommand, renderUsage, runCommand } from "citty";
import { MusterError } from "../client/index.ts";
import { version } from "../package-root.ts";
import { surviveClosedTerminal } from "./closed-terminal.ts";
import { guardOutput, print, printNote } from "./output.ts";
import { PROGRAM } from "./program.ts";
import { suggest } from "./suggest.ts";
import { checkArguments, UsageError } from "./usage.ts";

const muster = defineCommand({
  meta: { name: PROGRAM, version, description: "A realtime control plane for fleets of agents" },
  // Loaded when they are called: only `serve` needs the server.
  subCommands: {
    serve: () => import("./serve.ts").then((verb) => verb.default),
    call: () => import("./call.ts").then((verb) => verb.default),
    watch: () => import("./watch.ts").then((verb) => verb.default),
    agent: () => import("./agent.ts").then((verb) => verb.default),
    command: () => import("./command.ts").then((verb) => verb.default),
    commands: () => import("./commands.ts").then((verb) => verb.default),
    token: () => import("./token.ts").then((verb) => verb.default),
    load: () => import("./load.ts").then((verb) => verb.default),
  },
});

surviveClosedTerminal();
guardOutput();
process.exitCode = await main(process.argv.slice(2));

/** Runs one command line. Returns the exit code: 0 done, 1 failed, 2 wrong usage. */
async function main(words: string[]): Promise<number> {
  let path = [PROGRAM];
  try {
    if (words.length === 1 && (words[0] === "--version" || words[0] === "-v")) {
      print(version);
      return 0;
    }
    const found = await findVerb(muster, undefined, path, words);
    path = found.path;
    if (found.words.some((word) => word === "--help" || word === "-h")) {
      process.stdout.write(`${await usageOf(found)}\n`);
      return 0;
    }
    if (found.isGroup) {
      process.stderr.write(`${await usageOf(found)}\n`);
      return 2;
    }
    checkArguments(found.words, await resolved(found.command.args ?? {}));
    await runCommand(found.command, { rawArgs: found.words });
    return Number(process.exitCode ?? 0);
  } catch (error) {
    printNote(`error: ${messageOf(error)}`);
    if (!(error instanceof UsageError)) return 1;
    const verb = error.verb ?? path.join(" ");
    // A flag right behind the program's name would be taken by the tool that runs it.
    printNote(`See \`${verb === PROGRAM ? verb : `${verb} --help`}\`.`);
    return 2;
  }
}

interface Found {
  command: CommandDef;
  parent: CommandDef | undefined;
  /** The names that led to it. */
  path: string[];
  /** What is left of the command line for it. */
  words: string[];
  /** It has verbs of its own, and none was named. */
  isGroup: boolean;
}

async function findVerb(
  command: CommandDef,
  parent: CommandDef | undefined,
  path: string[],
  words: string[],
): Promise<Found> {
  if (command.subCommands === undefined) return { command, parent, path, words, isGroup: false };
  const verbs = await resolved(command.subCommands);
  const [name, ...rest] = words;
  if (name === undefined || name === "--help" || name === "-h")
    return { command, parent, path, words, isGroup: true };
  if (name.startsWith("-"))
    throw new UsageError(
      `${name}: flags come after the verb, like \`${path.join(" ")} VERB ${name}\``,
      path.join(" "),
    );
  const verb = Object.hasOwn(verbs, name) ? verbs[name] : undefined;
  if (verb === undefined) {
    const known = Object.keys(verbs);
    const [near] = suggest(name, known);
    throw new UsageError(
      `there is no verb ${name}; ${near === undefined ? `there are ${known.join(", ")}` : `did you mean ${near}?`}`,
      path.join(" "),
    );
  }
  return findVerb(await resolved(verb), command, [...path, name], rest);
}

async function resolved<T>(value: T | Promise<T> | (() => T) | (() => Promise<T>)): Promise<T> {
  return value instanceof Function ? value() : value;
}

async function usageOf({ command, parent }: Found): Promise<string> {
  const usage = await renderUsage(command, parent);
  return process.stdout.isTTY ? usage : stripVTControlCharacters(usage);
}

function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const issues = error instanceof MusterError ? error.details.issues : undefined;
  if (!Array.isArray(issues)) return error.message;
  const lines = issues.map(issueLine).filter((line) => !error.message.includes(line.trim()));
  return [error.message, ...lines].join("\n");
}

function issueLine(issue: unknown): string {
  if (typeof issue !== "object" || issue === null) return `  ${issue}`;
  const path = "path" in issue ? (Array.isArray(issue.path) ? issue.path.join(".") : String(issue.path)) : "";
  const message = "message" in issue ? String(issue.message) : "";
  return `  ${path === "" ? "" : `${path}: `}${message}`;
}
