import assert from "node:assert/strict";
import { execFile, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { promisify } from "node:util";
import { type AgentBrief, type GatewayBrief, GatewayError } from "../src/gateways/driver.ts";
import { TemplateRenderer } from "../src/gateways/templates/renderer.ts";
import { mayWrite, renderWorkspace, type WorkspaceFacts } from "../src/gateways/templates/workspace.ts";
import { createLog } from "../src/log.ts";

const ada: AgentBrief = {
  id: "0b7f7f0e-5c0e-4a7e-9f4e-1d1f6c3b0a01",
  name: "Ada",
  slug: "ada",
  sessionKey: "agent:ada:main",
  isMain: false,
  isLead: false,
  heartbeatConfig: { every: "45s" },
  identityProfile: { role: "reviewer", home_town: "Ulm" },
  identityTemplate: null,
  soulTemplate: null,
  generation: 1,
  board: { id: "b", name: "Harbour", objective: "Every ship in by noon." },
};
const gateway: GatewayBrief = {
  id: "g",
  organizationId: "o",
  name: "pier",
  url: null,
  token: "the-gateway-secret",
  mainSessionKey: "agent:main:main",
  workspaceRoot: "/srv",
  allowInsecureTls: false,
};
const facts = (agent: Partial<AgentBrief> = {}, rest: Partial<WorkspaceFacts> = {}): WorkspaceFacts => ({
  agent: { ...ada, ...agent },
  gateway,
  serverUrl: "http://127.0.0.1:8787",
  tokenFile: "/srv/workspace-ada/.muster/token",
  ...rest,
});
const templates = new TemplateRenderer(createLog("silent"));
after(() => templates.stop());
const rendered = (given = facts()) =>
  renderWorkspace(given, (request) => templates.render(request), new AbortController().signal);
const file = async (
  name: "IDENTITY.md" | "SOUL.md" | "AGENTS.md" | "HEARTBEAT.md" | "TOOLS.md",
  given = facts(),
) => (await rendered(given)).get(name) ?? "";

test("P11 a workspace has all its files, each with words in it", async () => {
  const files = await rendered();
  assert.deepEqual([...files.keys()].sort(), [
    "AGENTS.md",
    "BOOT.md",
    "BOOTSTRAP.md",
    "HEARTBEAT.md",
    "IDENTITY.md",
    "MEMORY.md",
    "SELF.md",
    "SOUL.md",
    "TOOLS.md",
    "USER.md",
  ]);
  for (const [name, text] of files) {
    assert.match(text, /^# .+\n\n.+/, name);
    assert.doesNotMatch(text, /\{\{|\{%|\n\n\n/, name);
  }
});

test("P11 the files say who the agent is, what for, and how it beats", async () => {
  const identity = await file("IDENTITY.md");
  assert.match(identity, /- Name: Ada\n/);
  assert.match(identity, /- Part: member of the board Harbour\n- Role: reviewer\n- Home town: Ulm\n$/);
  assert.match(await file("AGENTS.md"), /Every ship in by noon\./);
  assert.match(await file("HEARTBEAT.md"), /Beat every 45s/);
  assert.match(await file("TOOLS.md"), new RegExp(ada.id));
});

test("P16 a gateway's main agent, without a board, is told its part", async () => {
  const main = facts({ isMain: true, board: null });
  assert.match(await file("IDENTITY.md", main), /main agent of the gateway pier/);
  assert.match(await file("AGENTS.md", main), /main agent of the gateway \*\*pier\*\*/);
});

test("the gateway's token reaches no file, not even by the agent's own templates", async () => {
  const template = "{{ gateway.token }}{{ gateway | json }}{{ agent | json }}";
  for (const text of (await rendered(facts({ identityTemplate: template, soulTemplate: template }))).values())
    assert.doesNotMatch(text, /the-gateway-secret/);
});

test("P10 the agent's own templates take the place of IDENTITY.md and SOUL.md", async () => {
  const own = facts({
    identityTemplate: "I am {{ agent.name }}, {{ identity.role }} on {{ board.name }} at {{ gateway.name }}.",
    soulTemplate: "{% if board.objective %}{{ board.objective | upcase }}{% endif %} {{ server_url }}",
  });
  assert.equal(await file("IDENTITY.md", own), "I am Ada, reviewer on Harbour at pier.\n");
  assert.equal(await file("SOUL.md", own), "EVERY SHIP IN BY NOON. http://127.0.0.1:8787\n");
});

test("a value that looks like a template is text", async () => {
  const name = "{{ gateway.name }}{% include 'x' %}";
  assert.match(
    await file("IDENTITY.md", facts({ name })),
    /- Name: \{\{ gateway\.name \}\}\{% include 'x' %\}\n/,
  );
});

test("a long objective and many facts are no obstacle", async () => {
  const identityProfile = Object.fromEntries(
    Array.from({ length: 3_000 }, (_, n) => [`fact_${n}`, "x".repeat(10)]),
  );
  const board = { id: "b", name: "Long", objective: "y".repeat(50_000) };
  assert.match(await file("AGENTS.md", facts({ identityProfile, board })), /y{50000}/);
  assert.match(await file("IDENTITY.md", facts({ identityProfile, board })), /- Fact 2999: x{10}\n$/);
});

const hostile: Record<string, [template: string, complaint: RegExp]> = {
  "a loop without end": [
    "{% for i in (1..100000) %}{% for j in (1..100000) %}{% endfor %}{% endfor %}",
    /longer than 1 s|limit exceeded/,
  ],
  "a loop without end over one list": [
    "{% assign l = (1..1000) %}{% for i in l %}{% for j in l %}{% for k in l %}{% endfor %}{% endfor %}{% endfor %}",
    /longer than 1 s/,
  ],
  "a huge range": ["{% for i in (1..9000000000) %}x{% endfor %}", /memory/],
  "text doubled by a filter": [
    "{% assign a = 'x' %}{% for i in (1..60) %}{% assign a = a | append: a %}{% endfor %}",
    /memory/,
  ],
  "text doubled by capture": [
    "{% capture a %}xx{% endcapture %}{% for i in (1..60) %}{% capture a %}{{a}}{{a}}{% endcapture %}{% endfor %}",
    /memory/,
  ],
  "a list that holds itself twice, over and over": [
    "{% assign l = 'x' | split: '' %}{% for i in (1..40) %}{% assign e = '' | split: '' %}" +
      "{% assign l = e | push: l | push: l %}{% endfor %}{{ l | join: '' }}",
    /memory/,
  ],
  "one filter with a lot to do": [
    `{% assign l = (1..140000) | where_exp: 'x', '${Array.from({ length: 50 }, (_, n) => `x == ${-n}`).join(" or ")}' %}`,
    /longer than 1 s/,
  ],
  "a result that is too long": [
    `{% for i in (1..600) %}${"y".repeat(1_000)}{% endfor %}`,
    /longer than 500000/,
  ],
  "a width without measure": ["{{ 'now' | date: '%999999999d' }}", /memory/],
  "an unknown filter": ["{{ 'x' | repeat: 100000000 }}", /undefined filter: repeat/],
  "a file by include": ["{% include '/etc/passwd' %}", /Failed to lookup/],
  "a file by render": ["{% render '../../package.json' %}", /Failed to lookup/],
  "a file by layout": ["{% layout '/etc/passwd' %}", /Failed to lookup/],
  "a tag that is not closed": ["{% if agent %}", /not closed/],
  "tags nested without measure": ["{% if a %}".repeat(9_900), /./],
  "a template too long": ["x".repeat(250_000), /parse length/],
};
for (const [what, [template, complaint]] of Object.entries(hostile))
  test(`a hostile template is refused for good, and soon: ${what}`, async () => {
    const before = Date.now();
    for (const [title, agent] of [
      ["identity_template", { identityTemplate: template }],
      ["soul_template", { soulTemplate: template }],
    ] as const)
      await assert.rejects(
        rendered(facts(agent)),
        (error) =>
          error instanceof GatewayError &&
          !error.transient &&
          error.message.startsWith(`${title} cannot be rendered: `) &&
          error.message.length < 400 &&
          complaint.test(error.message),
      );
    // Far above what a slow machine needs, far below a hang.
    assert.ok(Date.now() - before < 5_000);
    assert.match(await file("IDENTITY.md"), /Ada/);
  });

test("templates see no prototypes, constructors or globals", async () => {
  const identityTemplate =
    "[{{ agent.constructor }}{{ agent.__proto__ }}{{ agent.name.constructor }}{{ identity.toString }}" +
    "{{ agent['constructor']['constructor'] }}{{ process.env.PATH }}{{ global }}{{ constructor }}]";
  assert.equal(await file("IDENTITY.md", facts({ identityTemplate })), "[]\n");
});

test("SELF.md, USER.md and MEMORY.md are written only when missing, BOOTSTRAP.md on the first run or by force", () => {
  const update = { action: "update", force: false } as const;
  const forced = { action: "update", force: true } as const;
  const provision = { action: "provision", force: false } as const;
  for (const name of ["SELF.md", "USER.md", "MEMORY.md"] as const) {
    assert.equal(mayWrite(name, forced, true), false);
    assert.equal(mayWrite(name, provision, true), false);
    assert.equal(mayWrite(name, update, false), true);
  }
  assert.equal(mayWrite("BOOTSTRAP.md", provision, false), true);
  assert.equal(mayWrite("BOOTSTRAP.md", update, false), false);
  assert.equal(mayWrite("BOOTSTRAP.md", forced, false), true);
  assert.equal(mayWrite("AGENTS.md", update, true), true);
});

const hasCurl = spawnSync("curl", ["--version"]).error === undefined;
test("the curl lines work as they stand, with the token in no argument", { skip: !hasCurl }, async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "muster it's $HOME "));
  t.after(() => rm(folder, { recursive: true }));
  const tokenFile = join(folder, "token");
  await writeFile(tokenFile, "mst_agent_secret\n");
  const heard: unknown[] = [];
  const server = createServer(async (request, response) => {
    let body = "";
    for await (const chunk of request) body += chunk;
    const { "x-agent-token": token, "content-type": type } = request.headers;
    heard.push([request.method, request.url, token, type, JSON.parse(body).status]);
    response.end("{}");
  }).listen(0, "127.0.0.1");
  t.after(() => server.close());
  await once(server, "listening");
  const address = server.address();
  assert.ok(typeof address === "object" && address !== null);
  const given = facts({}, { tokenFile, serverUrl: `http://127.0.0.1:${address.port}` });

  for (const name of ["TOOLS.md", "HEARTBEAT.md"] as const) {
    const [, script = ""] = /```sh\n([\s\S]+?)```/.exec(await file(name, given)) ?? [];
    await promisify(execFile)("sh", ["-ec", script]);
    const beat = ["POST", "/api/v1/agents/heartbeat", "mst_agent_secret", "application/json", "online"];
    assert.deepEqual(heard.splice(0), [beat], name);
  }
});
