import type { LeanSocket } from "./lean-socket.ts";
import { FIRST_NUMBER, type Round } from "./round.ts";

/** What paces the lanes, and is told how they fare. */
export interface Pace {
  /** The lane can send, for the first time or again. */
  ready(lane: Lane): void;
  /** The frames from `first` up to `end` of the lane are acknowledged. */
  acknowledged(lane: Lane, first: number, end: number): void;
  /** So many frames of the lane were under way when it lost its socket: nobody will acknowledge them. */
  lost(lane: Lane, count: number): void;
}

/** One socket's heartbeats: a row of frames, counted from 0, of which some are sent and some of those settled. */
export class Lane {
  /** Among all lanes. */
  readonly position: number;
  /** How many heartbeats one frame is. */
  readonly weight: number;
  #pace: Pace | undefined;
  #link: { socket: LeanSocket; round: Round } | undefined;
  #isWaiting = false;
  /** Frames that were sent or left out so far, and how many of them are acknowledged, lost or left out. */
  sent = 0;
  settled = 0;
  /** When the frames under way were sent, in the closed loop. */
  sentAt = 0;
  /** Frames that are due and not sent, in the open loop. */
  owed = 0;
  /** The first frame of the present pace. */
  first = 0;

  constructor(position: number, weight: number) {
    this.position = position;
    this.weight = weight;
  }

  get isOpen(): boolean {
    return this.#link !== undefined;
  }

  /** Has another pace from now on; nothing may be under way. */
  begin(pace: Pace): void {
    this.#pace = pace;
    this.first = this.sent;
    this.owed = 0;
  }

  opened(socket: LeanSocket, round: Round): void {
    this.#link = { socket, round };
    this.#isWaiting = false;
    this.#pace?.ready(this);
  }

  closed(): void {
    if (this.#link === undefined) return;
    this.#link = undefined;
    const count = this.sent - this.settled;
    this.settled = this.sent;
    if (count > 0) this.#pace?.lost(this, count);
  }

  /**
   * Sends the next frames, as many as can go at once: up to the end of the round, and none while the last ones have not
   * left, for they are written into again; the pace is told when they have. Returns how many went.
   */
  send(most = Number.POSITIVE_INFINITY): number {
    const link = this.#link;
    if (link === undefined || this.#isWaiting) return 0;
    const { socket, round } = link;
    if (socket.bufferedAmount > 0) {
      this.#isWaiting = true;
      socket.afterSending(() => this.#resume(link));
      return 0;
    }
    const first = this.sent % round.length;
    const end = Math.min(round.length, first + most);
    socket.sendFrame(round.numbered(first, end, FIRST_NUMBER + this.sent));
    this.sent += end - first;
    return end - first;
  }

  /** Leaves out frames that were due while there was no socket. */
  leaveOut(count: number): void {
    this.sent += count;
    this.settled = this.sent;
  }

  /** Every frame up to this number is acknowledged. */
  acknowledgedUpTo(number: number): void {
    const first = this.settled;
    const end = Math.min(this.sent, number - FIRST_NUMBER + 1);
    if (!(end > first)) return;
    this.settled = end;
    this.#pace?.acknowledged(this, first, end);
  }

  #resume(link: object): void {
    if (this.#link !== link) return;
    this.#isWaiting = false;
    this.#pace?.ready(this);
  }
}
