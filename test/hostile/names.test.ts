import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { test } from "node:test";
import { nameKeyOf } from "../../src/protocol/names.ts";
import { refused } from "../support/refused.ts";
import { seeded } from "../support/seeded.ts";
import { startTestServer } from "../support/server.ts";

const range = (first: number, last: number) =>
  Array.from({ length: last - first + 1 }, (_, place) => String.fromCodePoint(first + place));

const CONTROLS = [
  ...range(0x00, 0x1f),
  ...range(0x7f, 0x9f),
  ...range(0x200e, 0x200f),
  ...range(0x2028, 0x202e),
  ...range(0x2066, 0x2069),
  "\u061c",
];
/** Nothing of these is seen. */
const INVISIBLE = [
  "\u200b",
  "\u00ad",
  "\u034f",
  "\u115f\u1160",
  "\u3164",
  "\uffa0",
  "\u2800",
  "\ufe0f",
  "\u200d\u200c",
  "\u2060\u2064",
  "\u{e0041}",
  "\u0301",
  "\u200b \u3164",
  "\u{1d159}",
];
/** Two spellings of one name each. */
const SAME: [string, string][] = [
  ["Zoë", "zoe\u0308"],
  // Only its small letter has a code of its own.
  ["H\u0331", "\u1e96"],
  ["J\u030c", "\u01f0"],
  ["Ada", "A\u200bda"],
  ["Ada", "Ada\ufe0f"],
  ["Ada", "\u2060Ada\u3164"],
  ["co\u00adop", "COOP"],
  ["\u212bngström", "ångström"],
  ["Ada\u034f\u0308", "Adä"],
];

test("control characters of every kind stand in no name, whatever it names", async (t) => {
  const server = await startTestServer(t);
  for (const codec of ["json", "msgpack"] as const) {
    const owner = await server.wire({ codec });
    const { board, gateway } = await server.board(owner);
    const { agent } = await owner.call("agent.create", { name: `Ada ${codec}`, board_id: board.id });
    const { task } = await owner.call("task.create", { board_id: board.id, title: "Look" });
    const enrolment = await owner.call("enrolment.create", { board_id: board.id });
    const uses: [string, (name: string) => object][] = [
      ["agent.create", (name) => ({ name, board_id: board.id })],
      ["agent.update", (name) => ({ agent_id: agent.id, name })],
      ["agent.heartbeat_or_create", (name) => ({ name, board_id: board.id })],
      ["agent.enroll", (name) => ({ token: enrolment.token, name })],
      ["board.create", (name) => ({ name, gateway_id: gateway.id })],
      ["board.update", (name) => ({ board_id: board.id, name })],
      ["gateway.create", (name) => ({ name, kind: "direct" })],
      ["gateway.update", (name) => ({ gateway_id: gateway.id, name })],
      ["task.create", (title) => ({ title, board_id: board.id })],
      ["task.update", (title) => ({ task_id: task.id, title })],
      ["user_token.create", (name) => ({ name })],
    ];
    for (const [method, params] of uses) {
      for (const control of CONTROLS)
        await refused(owner.call(method, params(`a${control}b`)), "invalid_params", /control characters/);
      for (const name of INVISIBLE)
        await refused(
          owner.call(method, params(name)),
          "invalid_params",
          /something visible|must not be empty/,
        );
    }
    // A folder whose name would break a line of a workspace file.
    for (const control of CONTROLS)
      await refused(
        owner.call("gateway.create", { name: "G", kind: "direct", workspace_root: `/a${control}b` }),
        "invalid_params",
      );
    // What only looks strange is a name.
    for (const [place, name] of ["👩‍👩‍👧", "नमस्ते", "❤️", "עדה", "% _"].entries())
      await owner.call("agent.create", { name: `${name} ${place}`, board_id: board.id });
  }
});

test("P9 two names that look the same are one", async (t) => {
  const server = await startTestServer(t);
  const owner = await server.wire();
  for (const [one, other] of SAME) {
    const { board } = await server.board(owner);
    // Letters that are in no slug, so that only the names can be in each other's way.
    const first = await owner.call("agent.create", { name: `Ω${one}`, board_id: board.id });
    await refused(
      owner.call("agent.create", { name: `ω${other}`, board_id: board.id }),
      "conflict",
      "An agent with this name already exists on this board.",
    );
    const { agent, created } = await owner.call("agent.heartbeat_or_create", {
      name: `ω${other}`,
      board_id: board.id,
    });
    assert.deepEqual([agent.id, created], [first.agent.id, false]);
    const { items } = await owner.call("agent.list", { board_id: board.id, name: other });
    assert.deepEqual(
      items.map(({ id }: { id: string }) => id),
      [first.agent.id],
    );
    const { agent: renamed } = await owner.call("agent.update", {
      agent_id: first.agent.id,
      name: `ω${other}`,
    });
    assert.equal(renamed.name, `ω${other}`);
  }
  // What can be seen makes a difference, and so does what a pattern would match.
  const { board } = await server.board(owner);
  for (const name of ["x²", "x2", "ﬁn", "fin", "100%a", "100_b", "100xc"])
    await owner.call("agent.create", { name: `Ω${name}`, board_id: board.id });
  const { items } = await owner.call("agent.list", { board_id: board.id, name: "0%A" });
  assert.deepEqual(
    items.map(({ name }: { name: string }) => name),
    ["Ω100%a"],
  );
});

test("P9 a key is its own key, however a name is spelled", (t) => {
  const random = seeded(t);
  const letters = [
    "Ω",
    "İ",
    "ß",
    "Σ",
    "\u0301",
    "\u0331",
    "\u200d",
    "\ufe0f",
    "\u00ad",
    "H",
    "ǆ",
    " ",
    "가",
    "\u1160",
  ];
  for (let round = 0; round < 5_000; round++) {
    const name = Array.from({ length: 1 + Math.floor(random() * 8) }, () =>
      random() < 0.8
        ? (letters[Math.floor(random() * letters.length)] ?? "")
        : String.fromCodePoint(0x21 + Math.floor(random() * 0xd000)),
    ).join("");
    const key = nameKeyOf(name);
    assert.equal(nameKeyOf(key), key, JSON.stringify(name));
    assert.equal(nameKeyOf(name.normalize("NFD")), key, JSON.stringify(name));
    assert.equal(nameKeyOf([...name].join("\u2060")), key, JSON.stringify(name));
  }
});

test("P9 a name that stands keeps its key, is found by it, and stays taken", async (t) => {
  const server = await startTestServer(t);
  const owner = await server.wire();
  const { board } = await server.board(owner);
  const { agent } = await owner.call("agent.create", { name: "Ω before", board_id: board.id });
  const name = "Ω❤\ufe0f\u200dx";
  const key = name.toLowerCase();
  await server.database`update agents set name = ${name}, name_key = ${key} where id = ${agent.id}`;
  const stored = async () => {
    const [row] = await server.database<
      { name_key: string }[]
    >`select name_key from agents where id = ${agent.id}`;
    return row?.name_key;
  };
  const found = await owner.call("agent.heartbeat_or_create", { name, board_id: board.id });
  assert.deepEqual([found.agent.id, found.created], [agent.id, false]);
  const listed = await owner.call("agent.list", { name: "❤\ufe0f\u200dX" });
  assert.equal(listed.items[0]?.id, agent.id);
  await refused(owner.call("agent.create", { name, board_id: board.id }), "conflict", /on this board/);
  const other = await owner.call("agent.create", { name: `Ω ${randomUUID()}`, board_id: board.id });
  await refused(owner.call("agent.update", { agent_id: other.agent.id, name }), "conflict", /on this board/);
  await owner.call("agent.update", { agent_id: agent.id, heartbeat_config: { every: "30s" } });
  assert.equal(await stored(), key);
  await owner.call("agent.update", { agent_id: agent.id, name });
  assert.equal(await stored(), "ω❤x");
});
