import type { z } from "zod";
import type { Principal } from "../auth/principals.ts";
import { MusterError } from "../protocol/errors.ts";
import { METHODS, type Method } from "../protocol/methods.ts";
import type { sessionMethods } from "../protocol/session.ts";
import type { topicMethods } from "../protocol/topics.ts";
import { refusalOf } from "../store/refusals.ts";
import { activityCommands } from "./activity.ts";
import { agentCommandCommands } from "./agent-commands.ts";
import { agentMessageCommands } from "./agent-message.ts";
import { agentCommands } from "./agents.ts";
import { boardCommands } from "./boards.ts";
import type { Context, Handlers } from "./context.ts";
import { enrolmentCommands } from "./enrolments.ts";
import { gatewayLinkCommands } from "./gateway-links.ts";
import { gatewayRosterCommands } from "./gateway-roster.ts";
import { gatewayCommands } from "./gateways.ts";
import { type Claims, once } from "./idempotency.ts";
import { organizationCommands } from "./organizations.ts";
import type { Services } from "./services.ts";
import { taskCommands } from "./tasks.ts";

/** Methods that mean something only on a socket: the session carries them out itself. */
type SocketMethod = keyof typeof sessionMethods | keyof typeof topicMethods;
export type CommandMethod = Exclude<Method, SocketMethod>;

/** Every command, for sockets and HTTP alike. */
const COMMANDS: Handlers<CommandMethod> = {
  ...agentCommands,
  ...agentCommandCommands,
  ...agentMessageCommands,
  ...boardCommands,
  ...gatewayCommands,
  ...gatewayLinkCommands,
  ...gatewayRosterCommands,
  ...taskCommands,
  ...organizationCommands,
  ...enrolmentCommands,
  ...activityCommands,
};

export function isCommand(method: string): method is CommandMethod {
  return Object.hasOwn(COMMANDS, method);
}

/** Validates params against their schema. Throws `invalid_params` with the path and the message of every issue. */
export function validate<S extends z.ZodType>(schema: S, params: unknown): z.output<S> {
  const parsed = schema.safeParse(params);
  if (parsed.success) return parsed.data;
  const issues = parsed.error.issues.slice(0, 20).map((issue) => ({
    path: issue.path.map(String).join("."),
    message: issue.message,
  }));
  const said = issues.map(({ path, message }) => (path === "" ? message : `${path}: ${message}`));
  throw new MusterError("invalid_params", said.join("; "), { issues });
}

/** When a command that carries an idempotency key claims it. */
function claimsOf(method: CommandMethod, params: object): Claims {
  if (method === "agent.message") return "after";
  if (method !== "agent.command")
    return method.startsWith("agent.") ? "with the committer" : "in its transaction";
  return "delivery" in params && params.delivery === "live" ? "before" : "in its transaction";
}

/** Runs a command for a principal. Throws MusterError; anything else that is thrown is a fault of ours. */
export async function runCommand<M extends CommandMethod>(
  services: Services,
  principal: Principal,
  method: M,
  params: unknown,
): Promise<unknown> {
  const valid = validate(METHODS[method].params, params);
  const handler = COMMANDS[method] as (context: Context, params: unknown) => Promise<unknown>;
  const key = "idempotency_key" in valid ? valid.idempotency_key : undefined;
  try {
    if (key === undefined)
      return await handler(
        { principal, services, database: services.database, onceCommitted: (tell) => tell() },
        valid,
      );
    return await once(
      { principal, services },
      { method, key, params: valid, claims: claimsOf(method, valid) },
      (inside) => handler({ principal, services, ...inside }, valid),
    );
  } catch (error) {
    throw refusalOf(error) ?? error;
  }
}
