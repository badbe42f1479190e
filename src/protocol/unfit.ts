/**
 * Stands in a decoded message where the frame has something that no message may hold, such as an extension type of
 * MessagePack. Decoding goes on around it, so that the message keeps its id and its sender is told what is wrong, and where.
 */
export class Unfit {
  /** What would be right, as an issue says it: "must be …". */
  readonly message: string;

  constructor(message: string) {
    this.message = message;
  }
}
