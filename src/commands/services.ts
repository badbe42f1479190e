import type { Actors } from "../actors/actors.ts";
import type { Attachments } from "../actors/attachments.ts";
import type { Beats } from "../actors/beats.ts";
import type { Completions } from "../actors/completions.ts";
import type { Newcomers } from "../actors/newcomers.ts";
import type { Pacer } from "../actors/pacer.ts";
import type { Registry } from "../actors/registry.ts";
import type { Cursors } from "../auth/cursors.ts";
import type { Seal } from "../auth/seal.ts";
import type { MintedToken } from "../auth/tokens.ts";
import type { Clock } from "../clock.ts";
import type { Config } from "../config.ts";
import type { RemoteGateways } from "../gateways/remote.ts";
import type { Hub } from "../live/hub.ts";
import type { Log } from "../log.ts";
import type { Database } from "../store/database.ts";
import type { Lookups } from "../store/lookups.ts";
import type { Deliveries } from "./deliveries.ts";

/** The parts of the server that commands work with. */
export interface Services {
  config: Config;
  clock: Clock;
  log: Log;
  seal: Seal;
  cursors: Cursors;
  database: Database;
  lookups: Lookups;
  registry: Registry;
  actors: Actors;
  newcomers: Newcomers;
  beats: Beats;
  attachments: Attachments;
  pacer: Pacer;
  completions: Completions;
  hub: Hub;
  deliveries: Deliveries;
  /** The links to gateways that have one. */
  gateways: RemoteGateways;
  /** A fresh token for the agent at this index; the older ones stay good until it is used. */
  rotateToken(index: number, at: number): Promise<MintedToken>;
  /** Ends the sessions that were opened with one of these tokens, or with any token of an agent that is gone. */
  endSessions(of: { tokenIds: readonly string[] } | { agentId: string }): void;
}
