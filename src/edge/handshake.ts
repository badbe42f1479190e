import { type Codec, codecFor, jsonCodec } from "../protocol/codec.ts";
import type { HttpRequest } from "./http.ts";
import { type HttpAnswer, refusal } from "./http-answer.ts";
import type { RequestHeaders } from "./request-headers.ts";

/** Where WebSockets connect. */
export const SOCKET_PATH = "/v1/socket";

const KEY = /^[A-Za-z0-9+/]{22}==$/;
/** With an answer 426, the protocol that is spoken has to stand there. */
const SPOKEN = { upgrade: "websocket", connection: "Upgrade" };
const BAD_KEY = refusal(400, "the sec-websocket-key must be 16 bytes as Base64");

/** What is wrong with how a WebSocket is asked for (RFC 6455). */
export function handshakeFault(headers: RequestHeaders): HttpAnswer | undefined {
  if (headers.haveBody) return { ...refusal(400, "a request for a WebSocket has no body"), close: true };
  if (headers.get("sec-websocket-version") !== "13")
    return {
      ...refusal(426, "only version 13 of the WebSocket protocol is spoken here"),
      headers: { ...SPOKEN, "sec-websocket-version": "13" },
    };
  if (!KEY.test(headers.get("sec-websocket-key") ?? "")) return BAD_KEY;
  return undefined;
}

/** The answer at the socket's path to what the library takes for no upgrade. */
export const upgradeNeeded = ({ headers }: HttpRequest): HttpAnswer =>
  /\bwebsocket\b/i.test(headers("upgrade") ?? "")
    ? BAD_KEY
    : {
        ...refusal(426, "this is where WebSockets connect: ask for the upgrade to one"),
        headers: SPOKEN,
      };

/** The first offered that we know; JSON when none is offered; undefined when only unknown ones are. */
export function chooseCodec(offered: string): Codec | undefined {
  if (offered === "") return jsonCodec;
  for (const name of offered.split(",")) {
    const codec = codecFor(name.trim());
    if (codec !== undefined) return codec;
  }
  return undefined;
}
