/** The Muster SDK, for Node and browsers. */
export type { ActivityEvent } from "../protocol/activity.ts";
export type { AgentCommand } from "../protocol/agent-commands.ts";
export type { Agent as AgentRecord } from "../protocol/agents.ts";
export { MusterError, type Reason } from "../protocol/errors.ts";
export type { ChatEntry, GatewayLink } from "../protocol/gateway-links.ts";
export type { Method, ParamsIn, Result } from "../protocol/methods.ts";
export { Agent, type AgentEnd, type AgentOptions, type AgentState, connectAgent } from "./agent.ts";
export { type Client, type ClientOptions, type ClientState, connect, type RequestOptions } from "./client.ts";
export type { CommandHandler } from "./commands.ts";
export type { ConnectOptions, Hello } from "./connect-options.ts";
export type { AgentReport } from "./report.ts";
export type { Watch, WatchChange, WatchOptions } from "./watch.ts";
