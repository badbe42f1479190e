import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer, type Server, type Socket } from "node:net";
import { text } from "node:stream/consumers";
import { type TestContext, test } from "node:test";
import { closeDatabase, type Database, isUnavailable, openDatabase } from "../../src/store/database.ts";
import { run } from "../support/muster-process.ts";
import { createTestDatabase } from "../support/postgres.ts";
import { programOf } from "../support/program.ts";

/** No route leads there: the kernel says so within the call, before anybody can listen for it. */
const NOWHERE = "255.255.255.255";
const PASSWORD = "hush-hush";
/** A stack names files and lines. */
const STACK = /\.[jt]s:\d+/;

const away = (error: unknown) => isUnavailable(error);

function open(t: TestContext, url: string): Database {
  const pool = openDatabase(url, { maxConnections: 3 });
  t.after(() => closeDatabase(pool));
  return pool;
}

/** Something that listens, and is no Postgres. */
async function stranger(t: TestContext, meet: (socket: Socket) => void): Promise<string> {
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    meet(socket);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  const address = server.address();
  assert.ok(address !== null && typeof address === "object");
  return `postgres://app:${PASSWORD}@127.0.0.1:${address.port}/fleet`;
}

test("a connection that fails at once fails its query, again and again, and nothing else", async (t) => {
  const pool = open(t, `postgres://app:${PASSWORD}@${NOWHERE}:5432/fleet`);
  for (let round = 0; round < 3; round += 1) {
    const outcomes = await Promise.allSettled([
      ...Array.from({ length: 20 }, () => pool`select 1`),
      ...Array.from({ length: 5 }, () => pool.begin((transaction) => transaction`select 1`)),
    ]);
    for (const outcome of outcomes)
      assert.ok(outcome.status === "rejected" && isUnavailable(outcome.reason), JSON.stringify(outcome));
  }
});

test("a connection for which no descriptor is left fails what wanted it, and nothing else", async (t) => {
  const home = await createTestDatabase();
  t.after(() => home.drop());
  // Node raises the soft limit to the hard one, so both are set.
  const child = spawn(
    "sh",
    ["-c", 'ulimit -n 64 && exec "$@"', "sh", process.execPath, ...programOf("test/support/few-descriptors")],
    { env: { PATH: process.env.PATH, DATABASE_URL: home.url }, stdio: ["ignore", "pipe", "pipe"] },
  );
  t.after(() => child.kill("SIGKILL"));
  const [out, err] = await Promise.all([text(child.stdout), text(child.stderr)]);
  const well = { failed: true, away: true, later: true };
  assert.equal(err, "");
  assert.deepEqual(JSON.parse(out), { connected: well, unconnected: well });
});

test("whatever answers in a Postgres' place is away, over TLS and without", async (t) => {
  const answers: Record<string, (socket: Socket) => void> = {
    "ends at once": (socket) => socket.end(),
    "resets at once": (socket) => socket.resetAndDestroy(),
    "has no TLS": (socket) => socket.once("data", () => socket.write("N")),
    "says yes to TLS and speaks none": (socket) =>
      socket.once("data", () => {
        socket.write("S");
        socket.once("data", () => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n"));
      }),
    "says more than yes": (socket) => socket.once("data", () => socket.write("S and then some")),
    "says yes and ends": (socket) => socket.once("data", () => socket.end("S")),
    "answers rubbish": (socket) => socket.once("data", () => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n")),
  };
  for (const [what, meet] of Object.entries(answers))
    for (const sslmode of ["disable", "prefer", "require", "verify-full"]) {
      // Spoken to plainly, these say nothing: the client waits as long as it may.
      if (/^says|^has/.test(what) && (sslmode === "disable" || sslmode === "prefer")) continue;
      const pool = open(t, `${await stranger(t, meet)}?sslmode=${sslmode}`);
      await assert.rejects(async () => pool`select 1`, away, `${what}, ${sslmode}`);
      await assert.rejects(async () => pool`select 1`, away, `${what}, ${sslmode}, again`);
    }
});

/** A message of a Postgres that asks to sign in. */
function signIn(kind: number, words = ""): Buffer {
  const message = Buffer.alloc(9 + words.length);
  message.write("R");
  message.writeUInt32BE(message.length - 1, 1);
  message.writeUInt32BE(kind, 5);
  message.write(words, 9, "latin1");
  return message;
}

test("what asks for a sign-in that cannot be given is away, at once", async (t) => {
  const scram = signIn(10, "SCRAM-SHA-256\0\0");
  const asked: Record<string, Buffer[]> = {
    "a challenge that is rubbish": [scram, signIn(11, "rubbish")],
    "a challenge without a salt": [scram, signIn(11, "r=abc,i=4096")],
    "a challenge of no iterations": [scram, signIn(11, "r=abc,s=YWJj,i=0")],
    "a challenge of hours": [scram, signIn(11, "r=abc,s=YWJj,i=2147483647")],
    "another mechanism": [signIn(10, "SCRAM-SHA-256-PLUS\0\0")],
    Kerberos: [signIn(7)],
    "a kind that there is not": [signIn(4_294_967_295)],
    "a message without its kind": [Buffer.from("R\0\0\0\x04", "latin1")],
    "a message shorter than itself": [Buffer.from("R\0\0\0\0\0", "latin1")],
    "a message that never ends": [Buffer.from("R\x7f\xff\xff\xff", "latin1")],
    "rows for nobody": [Buffer.from("D\0\0\0\x06\0\0", "latin1")],
  };
  for (const [what, messages] of Object.entries(asked))
    for (const inPieces of [false, true]) {
      const url = await stranger(t, (socket) => {
        const left = [...messages];
        socket.on("data", () => {
          const message = left.shift() ?? Buffer.alloc(0);
          if (inPieces) for (const byte of message) socket.write(Buffer.of(byte));
          else socket.write(message);
        });
      });
      const began = performance.now();
      await assert.rejects(async () => open(t, `${url}?sslmode=disable`)`select 1`, away, what);
      assert.ok(performance.now() - began < 2_000, `${what}: it was made to wait`);
    }
});

test("no TLS is begun with one who has already said more than that it can be", async (t) => {
  const heard: string[] = [];
  const url = await stranger(t, (socket) => {
    socket.on("data", (bytes) => {
      heard.push(bytes.toString("hex"));
      if (heard.length === 1) socket.write("SE");
    });
  });
  await assert.rejects(async () => open(t, `${url}?sslmode=require`)`select 1`, away);
  assert.deepEqual(heard, ["0000000804d2162f"]);
});

test("what refuses the sign-in is away: nothing of a statement was wrong", async (t) => {
  const home = await createTestDatabase();
  t.after(() => home.drop());
  const wrong = new URL(home.url);
  wrong.password = "wrong";
  await assert.rejects(async () => open(t, wrong.href)`select 1`, away);
  const none = new URL(home.url);
  none.pathname = "/there_is_no_such_database";
  await assert.rejects(async () => open(t, none.href)`select 1`, away);
});

test("a start without its Postgres says so in one sentence that names the variable", async (t) => {
  const home = await createTestDatabase();
  t.after(() => home.drop());
  const wrong = new URL(home.url);
  wrong.password = PASSWORD;
  const none = new URL(home.url);
  none.pathname = "/there_is_no_such_database";
  const refusesTls = new URL(home.url);
  refusesTls.search = "?sslmode=require";
  const cases: { url: string; code: number; words: RegExp }[] = [
    { url: `postgres://app:${PASSWORD}@${NOWHERE}:5432/fleet`, code: 1, words: /ENETUNREACH/ },
    { url: `postgres://app:${PASSWORD}@127.0.0.1:1/fleet`, code: 1, words: /ECONNREFUSED/ },
    { url: `postgres://app:${PASSWORD}@no-such-host.invalid/fleet`, code: 1, words: /host name/ },
    { url: await stranger(t, (socket) => socket.destroy()), code: 1, words: /is it a Postgres/ },
    { url: refusesTls.href, code: 1, words: /TLS.*sslmode/ },
    { url: wrong.href, code: 2, words: /password/ },
    { url: none.href, code: 2, words: /there_is_no_such_database/ },
  ];
  for (const { url, code, words } of cases) {
    const done = await run(t, ["serve", "--empty"], { PORT: "0", DATABASE_URL: url });
    assert.equal(done.code, code, `${url}: ${done.err}`);
    assert.match(done.err, /^error: [^\n]*DATABASE_URL[^\n]*\n$/, url);
    assert.match(done.err, words);
    assert.doesNotMatch(done.err, STACK);
    assert.doesNotMatch(done.err + done.out, new RegExp(PASSWORD));
  }
});
