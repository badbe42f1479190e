/** What a worker thread is asked to render. */
export interface RenderTask {
  source: string;
  variables: object;
  /** One cell that both threads see: how far it is, of PROGRESS. */
  progress: Int32Array;
}

/** What came of a template: its text, or what is wrong with it. */
export type Rendered = { text: string } | { problem: string };

export const PROGRESS = {
  /** The thread has not come to it yet. */
  waiting: 0,
  /** The thread is at it. */
  started: 1,
  /** Its time is over: it is to give up. */
  over: 2,
} as const;

/** Said of a template that does not come to its end in time. */
export const TAKES_LONGER = "it takes longer than 1 s";
