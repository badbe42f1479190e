import { defineCommand } from "citty";
import type { Client, Result } from "../client/index.ts";
import { parseDuration } from "../protocol/duration.ts";
import { showUnseen } from "../unseen.ts";
import { printJson, printLine, printNote } from "./output.ts";
import { PROGRAM } from "./program.ts";
import { openClient, targetArgs } from "./target.ts";
import { fit } from "./text.ts";
import { UsageError } from "./usage.ts";

type UserToken = Result<"user_token.list">["items"][number];

const json = { type: "boolean", description: "Print the whole answer as JSON" } as const;
const PAGE = 500;

const create = defineCommand({
  meta: { name: "create", description: "Make a token; it is shown once" },
  args: {
    name: { type: "positional", required: true, description: "What it is for" },
    expires: { type: "string", description: "How long it is good for, like 12h or 30d; else without end" },
    json,
    ...targetArgs,
  },
  async run({ args }) {
    const { name, expires } = args;
    if (expires !== undefined && !parseDuration(expires))
      throw new UsageError(`--expires must be a duration like 12h or 30d, not ${expires}`);
    await withClient(args, async (client) => {
      const made = await client.request("user_token.create", { name, expires_in: expires });
      if (args.json) return printJson(made);
      await printLine(made.token);
      printNote(
        `Keep it now: it is not shown again. To revoke it: ${PROGRAM} token delete ${made.user_token.id}`,
      );
    });
  },
});

const list = defineCommand({
  meta: { name: "list", description: "Show your tokens, never their secrets" },
  args: { json, ...targetArgs },
  run: ({ args }) =>
    withClient(args, async (client) => {
      const tokens = await allTokens(client);
      if (args.json) return printJson(tokens);
      await printLine(row("ID", "NAME", "CREATED", "EXPIRES"));
      for (const { id, name, created_at, expires_at } of tokens)
        await printLine(row(id, name, created_at, expires_at ?? "never"));
    }),
});

const remove = defineCommand({
  meta: { name: "delete", description: "Revoke a token; its live connections end" },
  args: {
    id: { type: "positional", required: true, description: "As `token list` shows it" },
    ...targetArgs,
  },
  run: ({ args }) =>
    withClient(args, async (client) => {
      // To delete what is not there succeeds; but who mistypes an id must not believe that the token is dead.
      if (!(await allTokens(client)).some(({ id }) => id === args.id))
        throw new Error(`no token of yours has the id ${args.id}; \`${PROGRAM} token list\` shows them`);
      const { deleted = 1 } = await client.request("user_token.delete", { token_id: args.id });
      await printLine(
        deleted > 1 ? `deleted ${args.id}, and ${deleted - 1} made with it` : `deleted ${args.id}`,
      );
    }),
});

export default defineCommand({
  meta: { name: "token", description: "Make, list and revoke your tokens" },
  subCommands: { create, list, delete: remove },
});

async function allTokens(client: Client): Promise<UserToken[]> {
  const tokens: UserToken[] = [];
  let cursor: string | undefined;
  do {
    const page = await client.request("user_token.list", { limit: PAGE, cursor });
    tokens.push(...page.items);
    cursor = page.next_cursor ?? undefined;
  } while (cursor !== undefined);
  return tokens;
}

async function withClient(
  flags: Parameters<typeof openClient>[0],
  use: (client: Client) => Promise<void>,
): Promise<void> {
  const client = await openClient(flags);
  try {
    await use(client);
  } finally {
    await client.close();
  }
}

function row(id: string, name: string, created: string, expires: string): string {
  return [...[id, name, created].map((cell) => fit(showUnseen(cell), 24)), expires].join("  ");
}
