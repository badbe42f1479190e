import { wholeNumber } from "../whole-number.ts";
/** What answers is no Postgres, or asks for what the client cannot give. */
export class SignInError extends Error {
  override name = "SignInError";
  readonly code: "NOT_POSTGRES" | "SIGN_IN_UNKNOWN";

  constructor(code: SignInError["code"], message: string) {
    super(message);
    this.code = code;
  }
}

const AUTHENTICATION = 0x52;
/** An error, a notice and another version of the protocol, besides what belongs to the sign-in. */
const ALLOWED: ReadonlySet<number> = new Set([AUTHENTICATION, 0x45, 0x4e, 0x76]);
const HEADER_BYTES = 5;
/** Far above anything that a Postgres says before it lets somebody in. */
const MOST_BYTES = 65_536;
/** Made within one turn of the loop, which takes half a second for these; Postgres' own default is 4,096. */
const MOST_ITERATIONS = 1_000_000;
const SCRAM_OFFER = /(?:^|\0)SCRAM-SHA-256\0/;
const SCRAM_CHALLENGE = /^r=[^,]+,s=[A-Za-z\d+/=]+,i=(\d{1,10})(?:,|$)/;

/**
 * Stands between a new connection and the client until the client is let in: the client answers what it is asked for in
 * functions of which nobody learns the failure, so it gets only what it can answer.
 */
export class SignIn {
  #held: Buffer = Buffer.alloc(0);
  #isOver = false;

  /**
   * @param bytes as they came
   * @returns the whole messages that are to be handed on now; may be empty
   * @throws SignInError
   */
  take(bytes: Buffer): Buffer {
    if (this.#isOver) return bytes;
    this.#held = Buffer.concat([this.#held, bytes]);
    let end = 0;
    while (!this.#isOver && this.#held.length >= end + HEADER_BYTES) {
      const next = end + 1 + this.#held.readUInt32BE(end + 1);
      if (!ALLOWED.has(this.#held[end] ?? 0) || next < end + HEADER_BYTES || next - end > MOST_BYTES)
        throw new SignInError("NOT_POSTGRES", "what answers there does not speak as a Postgres does");
      if (next > this.#held.length) break;
      if (this.#held[end] === AUTHENTICATION) this.#look(this.#held.subarray(end + HEADER_BYTES, next));
      end = next;
    }
    if (this.#isOver) end = this.#held.length;
    const whole = this.#held.subarray(0, end);
    this.#held = this.#held.subarray(end);
    return whole;
  }

  #look(request: Buffer): void {
    const kind = request.length < 4 ? undefined : request.readUInt32BE(0);
    const words = request.toString("latin1", 4);
    switch (kind) {
      case 0:
        this.#isOver = true;
        return;
      // A password in clear, by MD5; SCRAM's last word.
      case 3:
      case 5:
      case 12:
        return;
      case 10:
        if (SCRAM_OFFER.test(words)) return;
        break;
      case 11: {
        const iterations = wholeNumber(SCRAM_CHALLENGE.exec(words)?.[1]);
        if (iterations !== undefined && iterations >= 1 && iterations <= MOST_ITERATIONS) return;
        throw new SignInError(
          "NOT_POSTGRES",
          `its SCRAM challenge cannot be read, or asks for more than ${MOST_ITERATIONS} iterations`,
        );
      }
    }
    throw new SignInError("SIGN_IN_UNKNOWN", "it asks for a kind of sign-in that is not known here");
  }
}
