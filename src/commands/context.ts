import type { Rider } from "../actors/mailbox.ts";
import type { Principal } from "../auth/principals.ts";
import type { Method, Params, Result } from "../protocol/methods.ts";
import type { Queries } from "../store/database.ts";
import type { Services } from "./services.ts";

/** Who asks, and what there is to answer with. */
export interface Context {
  principal: Principal;
  services: Services;
  /** The database, or the transaction in which the whole command runs. */
  database: Queries;
  /** Tells others of what the command did, once that is committed. */
  onceCommitted(tell: () => void): void;
  /**
   * Where the request carries an idempotency key and changes an agent: writes down, in the same transaction, that it was
   * carried out. `partial` is what a repetition cannot find out by itself.
   */
  claim?: (partial: PartialAnswer) => NonNullable<Rider["also"]>;
}

export interface PartialAnswer {
  agent_id: string;
  token?: string | undefined;
}

/** Carries out one method: params are validated, access is its first question. Throws MusterError. */
export type Handler<M extends Method> = (context: Context, params: Params<M>) => Promise<Result<M>>;

/** A resource's part of the command table. */
export type Handlers<M extends Method> = { [method in M]: Handler<method> };
