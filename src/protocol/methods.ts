import type { z } from "zod";
import { activityMethods } from "./activity.ts";
import { agentCommandMethods } from "./agent-commands.ts";
import { agentMessageMethods } from "./agent-messages.ts";
import { agentMethods } from "./agents.ts";
import { boardMethods } from "./boards.ts";
import { enrolmentMethods } from "./enrolments.ts";
import { gatewayMethods } from "./gateways.ts";
import { organizationMethods } from "./organizations.ts";
import { sessionMethods } from "./session.ts";
import { taskMethods } from "./tasks.ts";
import { topicMethods } from "./topics.ts";

/** Every method that a client may call, with the schemas of its params and its result. */
export const METHODS = {
  ...sessionMethods,
  ...topicMethods,
  ...agentMethods,
  ...agentCommandMethods,
  ...agentMessageMethods,
  ...boardMethods,
  ...gatewayMethods,
  ...taskMethods,
  ...organizationMethods,
  ...enrolmentMethods,
  ...activityMethods,
} as const;

export type Method = keyof typeof METHODS;
/** Params as the caller writes them. */
export type ParamsIn<M extends Method> = z.input<(typeof METHODS)[M]["params"]>;
/** Params as the handler gets them: defaults filled in. */
export type Params<M extends Method> = z.output<(typeof METHODS)[M]["params"]>;
export type Result<M extends Method> = z.output<(typeof METHODS)[M]["result"]>;
