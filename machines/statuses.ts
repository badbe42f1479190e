/** The five states of an agent's life that the outside sees. A deleted agent is gone: it has no status. */
export const STATUSES = ["provisioning", "online", "updating", "deleting", "offline"] as const;
export type Status = (typeof STATUSES)[number];
