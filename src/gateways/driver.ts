/** What a driver needs to know of an agent. Secrets in here go to the workspace and nowhere else. */
export interface AgentBrief {
  id: string;
  name: string;
  /** Folder name part: `workspace-<slug>`. Made of a-z, 0-9 and single dashes. */
  slug: string;
  sessionKey: string;
  isMain: boolean;
  isLead: boolean;
  heartbeatConfig: Record<string, unknown>;
  identityProfile: Record<string, string> | null;
  identityTemplate: string | null;
  soulTemplate: string | null;
  /** One more for every piece of work; an effect of an older one must not overwrite a newer one's. */
  generation: number;
  board: { id: string; name: string; objective: string | null } | null;
}

/** What a gateway's own list of agents needs of one. */
export type RosterBrief = Pick<AgentBrief, "name" | "slug" | "sessionKey" | "isMain" | "heartbeatConfig">;

export interface GatewayBrief {
  id: string;
  organizationId: string;
  name: string;
  url: string | null;
  token: string | null;
  mainSessionKey: string | null;
  workspaceRoot: string | null;
  /** Take any certificate, for a gateway that signs its own. */
  allowInsecureTls: boolean;
}

/** One piece of work at a gateway. */
export interface Work {
  agent: AgentBrief;
  gateway: GatewayBrief;
  action: "provision" | "update" | "delete";
  /** Update: rewrite the first-run file too. */
  force: boolean;
  /** Wake-ups sent before in this piece of work. */
  wakes: number;
  /** The fresh token, while it is on its way to the workspace. */
  token: string | null;
  /** Ends when the work is superseded or the server stops. */
  signal: AbortSignal;
  /** Leaves a sentence about what the gateway did, for the activity log. */
  remark(sentence: string): void;
}

/**
 * A gateway that said no or could not be asked. `transient`: trying again can help, after `retryAfterMs` if it said so.
 * The message is the gateway's own words.
 */
export class GatewayError extends Error {
  override name = "GatewayError";
  readonly transient: boolean;
  readonly retryAfterMs: number;

  constructor(
    message: string,
    { transient, retryAfterMs = 0, cause }: { transient: boolean; retryAfterMs?: number; cause?: unknown },
  ) {
    super(message, { cause });
    this.transient = transient;
    this.retryAfterMs = retryAfterMs;
  }
}

/**
 * Carries out the steps of the agent machine's work at one kind of gateway. Every step can be repeated: done twice, or
 * done again after a crash in its middle, it leaves one effect. Failures are thrown as GatewayError.
 */
export interface Driver {
  /** How many steps at one gateway may be under way at a time, where it is not the usual number. */
  readonly atOnce?: number;
  /** How long one step may take in milliseconds, where it is not the usual time. */
  readonly stepTimeoutMs?: number;
  /** Make sure that the agent's session is there; for an update, begin it anew. */
  session(work: Work): Promise<void>;
  /** Make sure that the gateway lists the agent, with its workspace and its heartbeat. */
  roster(work: Work): Promise<void>;
  /** Render and write the workspace's files, the token among them. */
  files(work: Work): Promise<void>;
  /** Tell the agent to start. */
  wake(work: Work): Promise<void>;
  /** Take the agent out of the gateway's list. */
  unroster(work: Work): Promise<void>;
  /** End its session. */
  unsession(work: Work): Promise<void>;
  /** After the agent's row is gone: have the workspace removed, as well as can be. */
  cleanUp(work: Work): Promise<void>;
  /** After a start of the server: bring back what runs only as long as the server does. */
  resume(agents: { agent: AgentBrief; gateway: GatewayBrief }[]): Promise<void>;
  /** End what runs only as long as the server does. */
  stop(): Promise<void>;
}
