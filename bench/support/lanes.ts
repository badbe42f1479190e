import { ackReader, beatMessages, beatRound } from "../../src/cli/load/beats.ts";
import { OPCODE } from "../../src/cli/load/frames.ts";
import { inParallel } from "../../src/cli/load/in-parallel.ts";
import { Lane } from "../../src/cli/load/lane.ts";
import { LeanSocket } from "../../src/cli/load/lean-socket.ts";
import { FIRST_NUMBER, type NumberReader, numberReader, Round } from "../../src/cli/load/round.ts";
import { jsonCodec } from "../../src/protocol/codec.ts";

/** How a server is spoken to: what is sent, and how an acknowledgement of a number looks. */
export interface Speech {
  path: string;
  /** The subprotocol that is asked for; none where it is left out. */
  subprotocol?: string;
  /** What the socket at this place among all sends first. */
  hello?: (position: number) => string;
  round(): Round;
  read: NumberReader;
  /** Whether this message says that heartbeats may begin; undefined: they may at once. May answer it. */
  isWelcome?: (message: string, socket: LeanSocket) => boolean;
}

/** Sends our own frames, and takes the same ones back as their acknowledgement. */
export const ECHO: Speech = {
  path: "/",
  round: () => beatRound(jsonCodec, [0], false),
  read: numberReader(beatMessages(jsonCodec, [0], false)[0] ?? Buffer.alloc(0)),
};

/** Sends our own frames, and is answered with our own acknowledgements. */
export const ACKS: Speech = { ...ECHO, read: ackReader(jsonCodec) };

/**
 * An event with an acknowledgement, as Socket.IO has it on the wire: the heartbeat's number is the event's. Its own client
 * would cost the generator more.
 */
export const SOCKET_IO: Speech = {
  path: "/socket.io/?EIO=4&transport=websocket",
  round: () => new Round(OPCODE.text, [Buffer.from(`42${FIRST_NUMBER}["heartbeat",{"ch":0}]`)]),
  read: numberReader(Buffer.from(`43${FIRST_NUMBER}[]`)),
  isWelcome(message, socket) {
    if (message.startsWith("0")) socket.send("40");
    else if (message === "2") socket.send("3");
    return message.startsWith("40");
  },
};

/** The same with so many agents' heartbeats in one event. */
export function socketIoBatch(count: number): Speech {
  const nos = Array.from({ length: count }, (_, no) => no);
  return {
    ...SOCKET_IO,
    round: () =>
      new Round(OPCODE.text, [Buffer.from(`42${FIRST_NUMBER}["heartbeats",${JSON.stringify(nos)}]`)]),
  };
}

/** Agents of ours, each on a socket of its own that has its token. */
export function agentsOf(tokens: readonly string[]): Speech {
  return {
    ...ACKS,
    path: "/v1/socket",
    subprotocol: jsonCodec.subprotocol,
    hello: (position) => JSON.stringify({ id: 0, method: "hello", params: { token: tokens[position] } }),
    isWelcome: (message) => "result" in JSON.parse(message),
  };
}

/**
 * Sockets to such a server, ready to be measured.
 *
 * @param weight how many heartbeats one frame is
 */
export async function openLanes(
  url: string,
  count: number,
  { path, subprotocol = "", hello, round, read, isWelcome }: Speech,
  weight = 1,
): Promise<{ lanes: Lane[]; close(): void }> {
  const lanes = Array.from({ length: count }, (_, position) => new Lane(position, weight));
  const sockets: LeanSocket[] = [];
  const open = (lane: Lane) =>
    new Promise<void>((resolve, reject) => {
      const welcome = () => {
        lane.opened(socket, round());
        resolve();
      };
      const socket = new LeanSocket(`${url.replace(/^http/, "ws")}${path}`, subprotocol, {
        open: () => {
          if (hello) socket.send(hello(lane.position));
          if (isWelcome === undefined) welcome();
        },
        peek(bytes, start, end) {
          const number = read(bytes, start, end);
          if (Number.isNaN(number)) return false;
          lane.acknowledgedUpTo(number);
          return true;
        },
        message(frame) {
          if (isWelcome?.(String(frame), socket)) welcome();
        },
        alive() {},
        close(_, reason) {
          lane.closed();
          reject(new Error(`${url} closed: ${reason}`));
        },
      });
      sockets.push(socket);
    });
  const close = () => {
    for (const socket of sockets) socket.abort();
  };
  await inParallel(lanes, open).catch((error: unknown) => {
    close();
    throw error;
  });
  return { lanes, close };
}
