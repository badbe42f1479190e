import type { Codec } from "../../protocol/codec.ts";
import { notification } from "../../protocol/messages.ts";
import { OPCODE } from "./frames.ts";
import { FIRST_NUMBER, type NumberReader, numberReader, Round } from "./round.ts";

/**
 * A socket's heartbeats, encoded once.
 *
 * @param chs the channels that beat; at least one
 * @param batch one message for all of them instead of one each
 */
export function beatRound(codec: Codec, chs: readonly number[], batch: boolean): Round {
  return new Round(codec.binary ? OPCODE.binary : OPCODE.text, beatMessages(codec, chs, batch));
}

/** The messages of `beatRound`, each with the number FIRST_NUMBER. */
export function beatMessages(codec: Codec, chs: readonly number[], batch: boolean): Uint8Array[] {
  const messages = batch
    ? [notification("heartbeats", { n: FIRST_NUMBER, chs: codec.binary ? u32s(chs) : chs })]
    : chs.map((ch) => notification("heartbeat", { n: FIRST_NUMBER, ch }));
  return messages.map((message) => bytesOf(codec, message));
}

/** Reads acknowledgements as the server writes them; one that is written otherwise is read as any other message. */
export function ackReader(codec: Codec): NumberReader {
  return numberReader(bytesOf(codec, notification("ack", { n: FIRST_NUMBER })));
}

function bytesOf(codec: Codec, message: object): Uint8Array {
  // A codec may hand out a view into a buffer that it writes into again.
  return Buffer.from(codec.encode(message));
}

function u32s(numbers: readonly number[]): Uint8Array {
  const bytes = Buffer.alloc(numbers.length * 4);
  for (const [position, number] of numbers.entries()) bytes.writeUInt32LE(number, position * 4);
  return bytes;
}
