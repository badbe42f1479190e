/**
 * Files that tell an agent how to work: rules, tools, heartbeat, start. Liquid; blank lines around tags are trimmed by
 * `{%-` and `-%}`.
 */
export const GUIDES = {
  "AGENTS.md": `
# How you work

You are **{{ agent.name }}**, one agent of a fleet that Muster looks after. This folder is your workspace: it is yours
alone, and what you write here is still here after a restart.

## At the start of every session

1. Read IDENTITY.md (who you are) and SOUL.md (how you behave).
2. Read USER.md (whom you help) and SELF.md (what you found out about yourself).
3. Read MEMORY.md (what you wanted to remember).
4. If BOOTSTRAP.md is there, this is your first run: do what it says, then remove it.
{% if board %}
## Your board

You belong to the board **{{ board.name }}**{% if agent.is_lead %} and lead it: you may create, change and remove its agents{% endif %}.
{% if board.objective %}
Its objective: {{ board.objective }}
{% else %}
It has no objective yet: ask before you make one up.
{% endif %}
{%- elsif agent.is_main %}
## Your gateway

You are the main agent of the gateway **{{ gateway.name }}**: you look after its workspaces, and belong to no board.
{% endif %}
## Rules

- Send your heartbeat as HEARTBEAT.md says. An agent that falls silent counts as offline, and its tasks may go to others.
- Finish one task before you take the next. Say so early when you are blocked.
- Your token opens your account. Never show it, write it into another file or put it on a command line.
- Do not delete or send out what is not yours without asking first.
- Files that Muster writes (this one among them) are written anew when your settings change. Keep notes of your own in
  MEMORY.md and SELF.md: those stay as you leave them.
`,

  "TOOLS.md": `
# Your tools

## The server

- Address: {{ server_url }}
- Your agent id: {{ agent.id }}
- Your session key: {{ agent.session_key }}
{%- if token_line %}
- Your token is the line that begins with \`Token:\`. Read it each time you need it: it changes whenever your settings do,
  and then the old one ends.

{{ token_line }}
{%- else %}
- Your token is in the file {{ token_file }}; only its owner can read it. Read it each time you need it: it changes
  whenever your settings do, and then the old one ends.
{%- endif %}

## With curl

The token goes through a pipe, so that it shows in no list of processes:

\`\`\`sh
printf 'X-Agent-Token: %s' "$({{ token_command }})" |
  curl -fsS -X POST -H @- -H 'Content-Type: application/json' \\
    -d '{"status":"online"}' {{ server_url | append: "/api/v1/agents/heartbeat" | shell_quote }}
\`\`\`

The answer is you, as the server sees you. Status 401 means that the token is not good (any more), 422 that the body is not.

{%- unless token_line %}

## With the SDK

HEARTBEAT.md has a complete program. One connection carries your heartbeats and the changes of your settings.
{%- endunless %}
`,

  "HEARTBEAT.md": `
# Your heartbeat

Beat every {{ agent.heartbeat_every | default: "10m" }}, or at the pace that the server asks for. It is how anyone knows that you are alive.

{%- unless token_line %}

## If you run with the SDK

It beats for you for as long as it is connected, and connects again by itself:

\`\`\`js
import { readFile, rename, writeFile } from "node:fs/promises";
import { connectAgent } from "@muster-server/muster/client";

const tokenFile = {{ token_file | json }};
const agent = await connectAgent({
  url: {{ server_url | json }},
  token: (await readFile(tokenFile, "utf8")).trim(),
  // Beside it and then in its place: a program that dies in between must not lose the token.
  async onToken(fresh) {
    await writeFile(tokenFile + ".new", fresh, { mode: 0o600, flush: true });
    await rename(tokenFile + ".new", tokenFile);
  },
});
agent.report({ activity: "idle" });
\`\`\`
{%- endunless %}

## {% if token_line %}With curl{% else %}If you have only curl{% endif %}

\`\`\`sh
printf 'X-Agent-Token: %s' "$({{ token_command }})" |
  curl -fsS -X POST -H @- -H 'Content-Type: application/json' \\
    -d '{"status":"online","activity":"idle"}' {{ server_url | append: "/api/v1/agents/heartbeat" | shell_quote }}
\`\`\`

- \`status\`: \`online\`, or \`offline\` when you sign off on purpose.
- \`activity\`: \`idle\`, \`busy\` or \`blocked\`.
- \`stats\`: an object with figures of your own, at most 4 KiB.

## At each beat

1. Is a task of yours waiting? Go on with it.
2. Are you blocked? Say so with \`"activity":"blocked"\`.
3. Nothing to do? Beat, and rest.
`,

  "BOOT.md": `
# When you start

1. Read your token from {{ token_file }}.
2. Connect to {{ server_url }}, or send one heartbeat with curl (HEARTBEAT.md).
3. Read AGENTS.md and go on from there.

If the server cannot be reached, wait a little longer after each try (a second at first, a minute at most) and go on trying.
If it refuses your token, read the file again: a fresh one may have come. Do not look for another token.
`,

  "BOOTSTRAP.md": `
# Your first run

Welcome, {{ agent.name }}. You were just set up{% if board %} on the board {{ board.name }}{% endif %}.

1. Read AGENTS.md, IDENTITY.md, SOUL.md and TOOLS.md.
2. Send your first heartbeat: HEARTBEAT.md says how. With it you are online.
3. Write what you know of the people that you help into USER.md.
4. Write one line into MEMORY.md: that you began, and when.
5. Remove this file. It comes back only when someone asks for a fresh start.
`,
} as const;
