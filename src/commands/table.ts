import type { Principal } from "../auth/principals.ts";
import { METHODS, type Method, type Params } from "../protocol/methods.ts";
import type { sessionMethods } from "../protocol/session.ts";
import type { topicMethods } from "../protocol/topics.ts";
import { refusalOf } from "../store/refusals.ts";
import { type Access, requireAccess } from "./access.ts";
import { activityCommands } from "./activity.ts";
import { agentCommandCommands } from "./agent-commands.ts";
import { agentMessageCommands } from "./agent-message.ts";
import { agentCommands } from "./agents.ts";
import { boardCommands } from "./boards.ts";
import type { Context, Handlers } from "./context.ts";
import { openingFor } from "./create-agent.ts";
import { enrolmentCommands } from "./enrolments.ts";
import { gatewayLinkCommands } from "./gateway-links.ts";
import { gatewayRosterCommands } from "./gateway-roster.ts";
import { gatewayCommands } from "./gateways.ts";
import { type Claims, once } from "./idempotency.ts";
import { organizationCommands } from "./organizations.ts";
import type { Services } from "./services.ts";
import { taskCommands } from "./tasks.ts";
import { findAgentToChange } from "./update-agent.ts";
import { validate } from "./validate.ts";

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

/** Who may call each, asked before its params are looked at. What it is asked about may demand more. */
const ACCESS: Record<CommandMethod, Access> = {
  "agent.create": "lead or admin",
  "agent.get": "admin",
  "agent.list": "admin",
  "agent.update": "lead or admin",
  "agent.delete": "admin",
  "agent.heartbeat": "agent or admin",
  "agent.heartbeat_or_create": "agent or admin",
  "agent.token.rotate": "admin",
  "agent.command": "admin",
  "command.get": "admin",
  "command.list": "admin",
  "command.cancel": "admin",
  "agent.message": "admin",
  "board.create": "admin",
  "board.get": "admin",
  "board.list": "admin",
  "board.update": "admin",
  "board.delete": "admin",
  "gateway.create": "admin",
  "gateway.get": "admin",
  "gateway.list": "admin",
  "gateway.update": "admin",
  "gateway.delete": "admin",
  "gateway.status": "admin",
  "gateway.retry": "admin",
  "gateway.import": "admin",
  "gateway.diff": "admin",
  "task.create": "admin",
  "task.get": "admin",
  "task.list": "admin",
  "task.update": "admin",
  "task.delete": "admin",
  "organization.get": "user",
  "user_token.create": "user",
  "user_token.list": "user",
  "user_token.delete": "user",
  "agent.enroll": "anyone",
  "enrolment.create": "admin",
  "enrolment.list": "admin",
  "enrolment.delete": "admin",
  "activity.list": "admin",
};

/** Methods that take an idempotency key. */
type Repeatable = {
  [M in CommandMethod]: string extends keyof Params<M>
    ? never
    : "idempotency_key" extends keyof Params<M>
      ? M
      : never;
}[CommandMethod];

/** Whose right follows from their role alone, which `ACCESS` asks for. */
const roleIsEnough = () => Promise.resolve();

/**
 * Asked each time before a kept answer is given, as it may hold a token: whether the one who repeats the request might
 * still make it. What a lead may do hangs on where it, and what it does it to, stand now.
 */
const MAY_REPEAT: { [M in Repeatable]: (context: Context, params: Params<M>) => Promise<unknown> } = {
  "agent.create": async (context, params) => {
    if (context.principal.kind === "agent") await openingFor(context, params);
  },
  "agent.update": async (context, params) => {
    if (context.principal.kind === "agent") await findAgentToChange(context, params);
  },
  "agent.delete": roleIsEnough,
  "agent.command": roleIsEnough,
  "agent.message": roleIsEnough,
  "board.create": roleIsEnough,
  "gateway.create": roleIsEnough,
  "task.create": roleIsEnough,
};

export function isCommand(method: string): method is CommandMethod {
  return Object.hasOwn(COMMANDS, method);
}

/** When a command that carries an idempotency key claims it. */
function claimsOf(method: CommandMethod, params: object): Claims {
  if (method === "agent.message") return "after";
  if (method !== "agent.command")
    return method.startsWith("agent.") ? "with the committer" : "in its transaction";
  return "delivery" in params && params.delivery === "live" ? "before" : "in its transaction";
}

/** Refuses who might not make the request now, whatever was answered to it before. */
async function mayRepeat(
  method: CommandMethod,
  { principal, services }: Pick<Context, "principal" | "services">,
  params: object,
): Promise<void> {
  const ask = Object.entries(MAY_REPEAT).find(([name]) => name === method)?.[1] as
    | ((context: Context, params: unknown) => Promise<unknown>)
    | undefined;
  await ask?.({ principal, services, database: services.database, onceCommitted: (tell) => tell() }, params);
}

/** Runs a command for a principal. Throws MusterError; anything else that is thrown is a fault of ours. */
export async function runCommand<M extends CommandMethod>(
  services: Services,
  principal: Principal,
  method: M,
  params: unknown,
): Promise<unknown> {
  await requireAccess({ principal, services, database: services.database }, ACCESS[method]);
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
      {
        method,
        key,
        params: valid,
        claims: claimsOf(method, valid),
        mayRepeat: () => mayRepeat(method, { principal, services }, valid),
      },
      (inside) => handler({ principal, services, ...inside }, valid),
    );
  } catch (error) {
    throw refusalOf(error) ?? error;
  }
}
