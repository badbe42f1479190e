import { createPublicKey, verify } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type RequestListener } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { TestContext } from "node:test";
import { type WebSocket, WebSocketServer } from "ws";
import { z } from "zod";
import { SELF_SIGNED } from "./self-signed.ts";

const CHALLENGED_AT = 1_795_327_659_011;
/** What comes before a raw Ed25519 key in its SPKI form. */
const SPKI_HEAD = Buffer.from("302a300506032b6570032100", "hex");

const connectParams = z.strictObject({
  minProtocol: z.number(),
  maxProtocol: z.number(),
  client: z.strictObject({ id: z.string(), version: z.string(), platform: z.string(), mode: z.string() }),
  role: z.string(),
  scopes: z.array(z.string()),
  caps: z.array(z.string()),
  auth: z.strictObject({ token: z.string() }).optional(),
  device: z.strictObject({
    id: z.string(),
    publicKey: z.string(),
    signature: z.string(),
    signedAt: z.number(),
    nonce: z.string(),
  }),
});
export type ConnectParams = z.infer<typeof connectParams>;
const requestFrame = z.strictObject({
  type: z.literal("req"),
  id: z.string().min(1),
  method: z.string(),
  params: z.record(z.string(), z.unknown()),
});
type RequestFrame = z.infer<typeof requestFrame>;

/** What a handshake is answered: nothing, a hello, or an error after which the socket is closed. */
export type Greeting = object | null | { error: object; close: [code: number, reason: string] };

export const helloFor = (fields: object = {}) => ({
  type: "hello-ok",
  protocol: 4,
  server: { version: "2026.9.6", connId: "c1" },
  features: { methods: ["config.get", "agents.list"], events: [] },
  snapshot: {},
  auth: { scopes: ["operator.admin", "operator.read", "operator.write"] },
  policy: { maxPayload: 26_214_400, tickIntervalMs: 30_000 },
  ...fields,
});
export const refusedWith = (error: object, code: number, reason: string): Greeting => ({
  error,
  close: [code, reason],
});

/** A gateway that does what a test's script says, and nothing by itself but the challenge. */
export class ScriptedGateway {
  /** By the handshake. */
  greet: (params: ConnectParams) => Greeting = () => helloFor();
  /** By each request after it. */
  answer: (request: RequestFrame, peer: WebSocket) => void = ({ id, params }, peer) =>
    peer.send(JSON.stringify({ type: "res", id, ok: true, payload: params }));
  /** The HTTP status instead of a socket. */
  httpStatus: number | null = null;
  readonly connects: ConnectParams[] = [];
  readonly upgrades: IncomingMessage[] = [];
  readonly requests: RequestFrame[] = [];
  /** Where a handshake or a frame was not as a gateway takes it. */
  readonly faults: string[] = [];
  readonly peers = new Set<WebSocket>();
  readonly url: string;
  readonly close: () => Promise<void>;

  private constructor(url: string, close: () => Promise<void>) {
    this.url = url;
    this.close = close;
  }

  /** Closed with the test. */
  static async open(t: TestContext, { tls = false } = {}): Promise<ScriptedGateway> {
    const noPage: RequestListener = (_, response) => response.end("a page");
    const http = tls ? createTlsServer(SELF_SIGNED, noPage) : createServer(noPage);
    const sockets = new WebSocketServer({ noServer: true });
    http.listen(0, "127.0.0.1");
    await once(http, "listening");
    const address = http.address();
    if (address === null || typeof address === "string") throw new Error("it does not listen on a port");
    let isClosed = false;
    const gateway = new ScriptedGateway(`${tls ? "wss" : "ws"}://127.0.0.1:${address.port}`, async () => {
      if (isClosed) return;
      isClosed = true;
      for (const peer of gateway.peers) peer.terminate();
      http.closeAllConnections();
      http.close();
      await once(http, "close");
    });
    t.after(gateway.close);
    http.on("upgrade", (request, socket, head) => {
      gateway.upgrades.push(request);
      if (gateway.httpStatus !== null)
        return socket.end(`HTTP/1.1 ${gateway.httpStatus} No\r\nConnection: close\r\n\r\n`);
      sockets.handleUpgrade(request, socket, head, (peer) => gateway.#take(peer));
    });
    return gateway;
  }

  /** The one connection that there is. */
  get peer(): WebSocket {
    const [peer] = this.peers;
    if (!peer || this.peers.size > 1) throw new Error(`there are ${this.peers.size} connections`);
    return peer;
  }

  /** Tells every connection. */
  tell(event: string, payload?: unknown): void {
    for (const peer of this.peers) peer.send(JSON.stringify({ type: "event", event, payload }));
  }

  /** Closes every connection. */
  drop(code: number, reason = ""): void {
    for (const peer of this.peers) peer.close(code, reason);
  }

  #take(peer: WebSocket): void {
    this.peers.add(peer);
    const nonce = `nonce-${this.upgrades.length}`;
    let isReady = false;
    peer.on("close", () => this.peers.delete(peer));
    peer.on("error", () => {});
    peer.on("message", (data) => {
      const request = requestFrame.safeParse(JSON.parse(String(data)));
      if (!request.success) return this.faults.push(`not a request: ${request.error.message}`);
      if (isReady) {
        this.requests.push(request.data);
        return this.answer(request.data, peer);
      }
      isReady = this.#greet(request.data, nonce, peer);
    });
    peer.send(
      JSON.stringify({ type: "event", event: "connect.challenge", payload: { nonce, ts: CHALLENGED_AT } }),
    );
  }

  #greet({ id, method, params }: RequestFrame, nonce: string, peer: WebSocket): boolean {
    const connect = connectParams.safeParse(params);
    if (method !== "connect" || !connect.success) {
      this.faults.push(`not a handshake: ${method} ${connect.error?.message}`);
      return false;
    }
    const fault = faultOf(connect.data, nonce);
    if (fault !== null) this.faults.push(fault);
    this.connects.push(connect.data);
    const greeting = this.greet(connect.data);
    if (greeting === null) return false;
    if ("close" in greeting) {
      peer.send(JSON.stringify({ type: "res", id, ok: false, error: greeting.error }));
      peer.close(...greeting.close);
      return false;
    }
    peer.send(JSON.stringify({ type: "res", id, ok: true, payload: greeting }));
    return true;
  }
}

/** What is wrong with the device of a handshake. */
function faultOf({ client, role, scopes, auth, device }: ConnectParams, nonce: string): string | null {
  if (device.nonce !== nonce || device.signedAt !== CHALLENGED_AT) return "another challenge was signed";
  const key = createPublicKey({
    key: Buffer.concat([SPKI_HEAD, Buffer.from(device.publicKey, "base64url")]),
    format: "der",
    type: "spki",
  });
  const signed = `v2|${device.id}|${client.id}|${client.mode}|${role}|${scopes.join(",")}|${device.signedAt}|${auth?.token ?? ""}|${nonce}`;
  const isGood = verify(null, Buffer.from(signed), key, Buffer.from(device.signature, "base64url"));
  return isGood ? null : "the signature is not good";
}
